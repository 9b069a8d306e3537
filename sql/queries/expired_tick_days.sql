-- Days before a date whose ticks are still stored and were not restored for a time, the oldest first.
SELECT day FROM tick_days
WHERE day < :before AND dropped_at IS NULL
AND day NOT IN (SELECT day FROM archives WHERE keep_until > now())
ORDER BY day
