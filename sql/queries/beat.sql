-- The stream's row, and what becomes of it over time: the heartbeats of 15 seconds make one sample.
WITH sampled AS (
    INSERT INTO stream_samples AS s (
        time, stream, state, instruments, silent_instruments, ticks_per_second, lag_ms, lag_max_ms,
        exchange_lag_ms, exchange_lag_max_ms, backlog_bytes, reconnects
    ) VALUES (
        date_bin(INTERVAL '15 seconds', now(), TIMESTAMPTZ '2000-01-01 00:00:00Z'), :stream, :state, :instruments,
        cardinality(:stale_instruments::bigint[]), :ticks_per_second, :lag_ms, :lag_max_ms,
        :exchange_lag_ms, :exchange_lag_max_ms, :backlog_bytes, :reconnects
    )
    ON CONFLICT (time, stream) DO UPDATE SET
        state = excluded.state, instruments = excluded.instruments, reconnects = excluded.reconnects,
        silent_instruments = greatest(s.silent_instruments, excluded.silent_instruments),
        heartbeats = s.heartbeats + 1,
        ticks_per_second = s.ticks_per_second + (excluded.ticks_per_second - s.ticks_per_second) / (s.heartbeats + 1),
        lag_ms = coalesce(excluded.lag_ms, s.lag_ms), lag_max_ms = greatest(s.lag_max_ms, excluded.lag_max_ms),
        exchange_lag_ms = coalesce(excluded.exchange_lag_ms, s.exchange_lag_ms),
        exchange_lag_max_ms = greatest(s.exchange_lag_max_ms, excluded.exchange_lag_max_ms),
        backlog_bytes = greatest(s.backlog_bytes, excluded.backlog_bytes)
),
trimmed AS (
    DELETE FROM stream_samples WHERE time < now() - INTERVAL '14 days' AND stream = :stream
)
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
