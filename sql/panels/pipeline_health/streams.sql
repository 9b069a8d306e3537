SELECT
    stream, state, broker, feeds, heartbeat_age_seconds, instruments, silent_instruments, ticks_per_second, lag_ms,
    backlog_bytes, reconnects, faults, anomalies, started_at, detail
FROM dashboard_streams
ORDER BY stream
