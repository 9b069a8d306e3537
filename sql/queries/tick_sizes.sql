-- Bytes that ticks take of the last days that have some, with what their archive takes; NULL: not archived.
SELECT s.day, s.bytes, a.bytes AS archived_bytes
FROM tick_day_sizes() AS s
LEFT JOIN archives AS a USING (day)
WHERE s.day < :before::date AND (a.ticks > 0 OR s.bytes > 1000000)
ORDER BY s.day DESC
LIMIT 5
