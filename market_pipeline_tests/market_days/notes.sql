-- What the pipeline notes of itself: a stream that lives and one that died, and some of whatever else there is.
INSERT INTO streams (
    stream, broker, run_id, state, started_at, heartbeat_at, instruments, ticks, ticks_per_second, lag_ms, backlog_bytes,
    stale_instruments, feeds
) VALUES
    ('simulator-0', 'simulator', 'one', 'streaming', now() - INTERVAL '1 hour', now(), 9, 1000, 9, 40, 1024,
     (SELECT array_agg(instrument_id) FROM instruments WHERE symbol = 'SHARE1'),
     '[{"broker": "simulator", "state": "streaming"}, {"broker": "fyers_simulator", "state": "awaiting_login"}]'),
    ('simulator-1', 'simulator', 'two', 'streaming', now() - INTERVAL '1 hour', now() - INTERVAL '5 minutes', 9, 9, 9, 9,
     536870912, '{}', '[]');

INSERT INTO stream_samples
SELECT
    date_bin(INTERVAL '15 seconds', now(), TIMESTAMPTZ '2000-01-01 00:00:00Z') - n * INTERVAL '15 seconds', stream,
    'streaming', 9, n % 2, 7, 900 + n, 40, 90 + n, 600, 900, 1000 * n, (200 - n) / 50
FROM generate_series(0, 199) AS n, unnest(ARRAY['simulator-0', 'simulator-1']) AS stream;

INSERT INTO gaps (stream, broker, started_at, ended_at, cause, covered_by, repaired_by, repair_failure)
SELECT 'simulator-0', 'simulator', now() - since, now() - since + INTERVAL '20 seconds', cause, covered_by, repaired_by, failure
FROM (VALUES
    (INTERVAL '25 minutes', 'stall', NULL, 'simulator: 1 candle', NULL),
    (INTERVAL '20 minutes', 'disconnect', 'fyers_simulator', NULL, NULL),
    (INTERVAL '15 minutes', 'restart', NULL, 'given up: the broker has none', NULL),
    (INTERVAL '10 minutes', 'restart', NULL, NULL, 'the broker does not answer')
) AS g (since, cause, covered_by, repaired_by, failure)
UNION ALL
SELECT 'simulator-1', 'simulator', now() - INTERVAL '5 minutes', NULL, 'disconnect', NULL, NULL, NULL;

INSERT INTO check_results (asset, name, passed, severity, message, failing_since) VALUES
    ('ticks', 'ticks_are_fresh', false, 'ERROR', 'simulator-1: no heartbeat for 300 s', now() - INTERVAL '4 minutes'),
    ('ticks', 'no_instrument_is_silent', false, 'WARN', 'silent: 1', now() - INTERVAL '4 minutes'),
    ('candles_1m', 'ohlc_is_sane', true, 'ERROR', 'insane: 0', NULL);

INSERT INTO broker_budgets (broker, account, budget, state)
VALUES ('simulator', 'key', 'history', '{"requests": 12, "today": 5, "refusals": 1}');

INSERT INTO backfills (broker, instrument_id, minutes, starts_at, ends_at, purpose, asked_at, outcome, candles)
SELECT 'simulator', instrument_id, 1, now() - INTERVAL '1 day', now(), 'gap_repair', now() - INTERVAL '9 minutes', 'complete', 9
FROM instruments LIMIT 3;

INSERT INTO candle_repairs (instrument_id, time, broker, open, high, low, close, volume, fields, reason, repaired_by)
SELECT
    instrument_id, date_trunc('minute', now() - INTERVAL '9 minutes'), 'simulator', 101, 102, 100, 101, 60, '{close}',
    'gap', 'reconciliation'
FROM instruments WHERE symbol IN ('SHARE1', 'NIFTY 50');

INSERT INTO operating_limits (tick_retention_days, compress_after_days, database_max_bytes) VALUES (7, 1, 1000000000)
ON CONFLICT (only_row) DO UPDATE SET database_max_bytes = excluded.database_max_bytes;

INSERT INTO archives (day, location, ticks, standby_ticks, candles, bytes, sha256, verified_at)
SELECT (now() AT TIME ZONE 'Asia/Kolkata')::date - n, 'archive', 5, 0, 5, 100, 'x', now() FROM generate_series(1, 9) AS n;
