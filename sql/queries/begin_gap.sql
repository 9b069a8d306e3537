-- A gap that is open already goes on.
INSERT INTO gaps (stream, started_at, cause) VALUES (:stream, :at, :cause)
ON CONFLICT (stream) WHERE ended_at IS NULL DO NOTHING
