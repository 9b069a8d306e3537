SELECT pg_advisory_xact_lock(hashtextextended('instrument_sync', 0))
