-- Held by whoever moves the threshold; writers of ticks hold it shared, in begin_batch.
SELECT pg_advisory_xact_lock(hashtextextended('candle_threshold', 0))
