-- Held by whoever moves the threshold; writers of ticks hold it shared. See lock_candles_shared.
SELECT pg_advisory_xact_lock(hashtextextended('candle_threshold', 0))
