INSERT INTO streams (
    stream, broker, run_id, state, detail, started_at, heartbeat_at, instruments, frames, ticks,
    ticks_per_second, lag_ms, backlog_bytes, reconnects, faults, anomalies, stale_instruments, process, feeds
) VALUES (
    :stream, :broker, :run_id, :state, :detail, :started_at, now(), :instruments, :frames, :ticks,
    :ticks_per_second, :lag_ms, :backlog_bytes, :reconnects, :faults, :anomalies, :stale_instruments::bigint[], :process, :feeds::jsonb
)
ON CONFLICT (stream) DO UPDATE SET
    broker = excluded.broker, run_id = excluded.run_id, state = excluded.state, detail = excluded.detail,
    started_at = excluded.started_at, heartbeat_at = excluded.heartbeat_at,
    instruments = excluded.instruments, frames = excluded.frames, ticks = excluded.ticks,
    ticks_per_second = excluded.ticks_per_second, lag_ms = excluded.lag_ms,
    backlog_bytes = excluded.backlog_bytes, reconnects = excluded.reconnects,
    faults = excluded.faults, anomalies = excluded.anomalies,
    stale_instruments = excluded.stale_instruments, process = excluded.process,
    feeds = excluded.feeds
