-- One refresh at a time; held across its two transactions.
SELECT pg_advisory_lock(hashtextextended('candle_refresh', 0))
