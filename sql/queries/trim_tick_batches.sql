-- By time, and by number for a stream that stores a backlog.
DELETE FROM tick_batches
WHERE stream = :stream AND (written_at < clock_timestamp() - INTERVAL '1 minute' OR arrivals <= :before)
