-- Of brokers that the stream does not listen to any more.
UPDATE gaps SET ended_at = greatest(started_at, coalesce(:at, now()))
WHERE stream = :stream AND broker <> ALL (:brokers::text[]) AND ended_at IS NULL
