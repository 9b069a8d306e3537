-- What each stream does, and how long ago it gave a sign of life.
SELECT
    stream, broker, state, detail, started_at, heartbeat_at,
    extract(EPOCH FROM now() - heartbeat_at)::double precision AS heartbeat_age,
    instruments, frames, ticks, ticks_per_second, lag_ms, backlog_bytes, reconnects, faults, anomalies,
    cardinality(stale_instruments) AS stale_instruments, feeds
FROM streams
ORDER BY stream
