-- The row that says in a replay's schema how far its stream is, as a stream's heartbeat does.
INSERT INTO streams (
    stream, broker, run_id, state, detail, started_at, heartbeat_at, instruments, ticks, ticks_per_second
) VALUES (
    :stream, :broker, 'replay', :state, :detail, now(), now(),
    (SELECT count(*) FROM subscriptions WHERE is_active), :ticks, :ticks_per_second
)
ON CONFLICT (stream) DO UPDATE SET
    state = excluded.state, detail = excluded.detail, heartbeat_at = now(), ticks = excluded.ticks,
    ticks_per_second = excluded.ticks_per_second
