-- What each stream does now. A process that died says nothing any more: its state is told as no_heartbeat.
CREATE OR REPLACE VIEW dashboard_streams AS
SELECT
    stream,
    broker,
    CASE
        WHEN state NOT IN ('stopped', 'failed') AND heartbeat_at < now() - INTERVAL '45 seconds' THEN 'no_heartbeat'
        ELSE state
    END AS state,
    detail,
    extract(EPOCH FROM now() - heartbeat_at)::double precision AS heartbeat_age_seconds,
    started_at,
    instruments,
    cardinality(stale_instruments) AS silent_instruments,
    ticks,
    ticks_per_second,
    lag_ms,
    backlog_bytes,
    reconnects,
    faults,
    anomalies,
    (
        SELECT string_agg(format('%s: %s', each ->> 'broker', each ->> 'state'), ', ' ORDER BY number)
        FROM jsonb_array_elements(feeds) WITH ORDINALITY AS _ (each, number)
    ) AS feeds
FROM streams;
