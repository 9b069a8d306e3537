-- A gap that is open already goes on.
INSERT INTO gaps (stream, started_at, cause, instruments) VALUES (:stream, :at, :cause, :instruments::bigint[])
ON CONFLICT (stream) WHERE ended_at IS NULL DO NOTHING
