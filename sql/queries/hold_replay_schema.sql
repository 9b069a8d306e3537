-- Freed by the server when the process or its connection dies.
SELECT pg_try_advisory_lock(hashtextextended('replay:' || :schema, 0))
