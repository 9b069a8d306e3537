-- Those that were not read yet. By number; and by time, because a server that was brought back from a backup, or has lost
-- its last commits, counts again from where it was.
SELECT b.stream, b.first_arrival, b.written_at, b.payload
FROM tick_batches AS b
LEFT JOIN unnest(:streams::text[], :arrivals::bigint[], :written_at::timestamptz[]) AS known (stream, arrivals, written_at)
ON known.stream = b.stream
WHERE known.stream IS NULL OR b.arrivals > known.arrivals OR b.written_at > known.written_at
ORDER BY b.stream, b.written_at, b.arrivals
LIMIT 4
