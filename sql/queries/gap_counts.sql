-- How many gaps of each stream there were since a time, and how many last.
SELECT stream, count(*) AS gaps, count(*) FILTER (WHERE ended_at IS NULL) AS open
FROM gaps
WHERE ended_at >= :since::timestamptz OR ended_at IS NULL
GROUP BY stream
