SELECT started_at, ended_at, cause FROM gaps WHERE ended_at >= :since OR ended_at IS NULL
ORDER BY started_at
