-- Until the transaction ends: of several streams that find newcomers one decides where they go.
SELECT pg_advisory_xact_lock(hashtextextended('place_newcomers', 0))
