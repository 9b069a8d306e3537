-- One at a time brings the candles and the calendar up to date.
SELECT pg_advisory_xact_lock(hashtextextended('schema', 0))
