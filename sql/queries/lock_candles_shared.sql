-- A statement of its own: the threshold must be read by a later one, which sees what was committed meanwhile.
SELECT pg_advisory_xact_lock_shared(hashtextextended('candle_threshold', 0))
