-- A gap that is open already goes on.
INSERT INTO gaps (stream, broker, started_at, cause, instruments, covered_by)
VALUES (:stream, :broker, :at, :cause, :instruments::bigint[], :covered_by)
ON CONFLICT (stream, broker, (covered_by IS NULL)) WHERE ended_at IS NULL DO NOTHING
