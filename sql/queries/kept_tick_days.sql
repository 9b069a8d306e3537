-- Days before a date whose ticks are still stored, the oldest first; those that were restored, until when.
SELECT d.day, CASE WHEN a.keep_until > now() THEN a.keep_until END AS keep_until, a.damage
FROM tick_days AS d
LEFT JOIN archives AS a USING (day)
WHERE d.day < :before::date AND d.dropped_at IS NULL
ORDER BY d.day
