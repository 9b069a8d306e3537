UPDATE gaps SET ended_at = greatest(started_at, :at) WHERE stream = :stream AND ended_at IS NULL
