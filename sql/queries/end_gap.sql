UPDATE gaps SET ended_at = greatest(started_at, :at)
WHERE stream = :stream AND (broker = :broker OR broker IS NULL) AND ended_at IS NULL
