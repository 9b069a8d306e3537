-- Held by whoever writes ticks, from reading the threshold to the end of the transaction.
SELECT pg_advisory_xact_lock_shared(hashtextextended('candle_threshold', 0))
