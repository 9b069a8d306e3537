-- Ends open gaps of streams that are not wanted any more and that nobody runs: for each instrument with its first tick since,
-- which another stream has received, and now for what is not wanted any more. Those that are still missed stay in the open gap.
-- A gap that may be of any instrument ends when all streams that are wanted receive something. Nothing ends while nothing is to
-- be streamed at all: the same streams go on after that.
WITH placed AS MATERIALIZED (
    SELECT instrument_id, stream FROM placed_subscriptions(:brokers::text[], :per_stream::bigint)
),
unwanted AS MATERIALIZED (
    SELECT DISTINCT g.stream FROM gaps AS g
    LEFT JOIN streams AS s ON s.stream = g.stream
    WHERE g.ended_at IS NULL AND (SELECT is_streaming FROM desired_state)
    AND NOT EXISTS (SELECT FROM placed AS p WHERE p.stream = g.stream)
    AND (s.stream IS NULL OR s.state IN ('stopped', 'failed') OR s.heartbeat_at < now() - INTERVAL '45 seconds')
),
-- Its lease, so that it cannot begin meanwhile.
abandoned AS MATERIALIZED (
    SELECT stream FROM unwanted WHERE pg_try_advisory_xact_lock(hashtextextended('stream:' || stream, 0))
),
opened AS MATERIALIZED (
    SELECT g.gap_id, g.instruments, greatest(g.started_at, p.last_received_at) AS since
    FROM abandoned AS a
    JOIN gaps AS g ON g.stream = a.stream AND g.ended_at IS NULL
    LEFT JOIN journal_positions AS p ON p.stream = a.stream
),
parts AS (
    SELECT o.gap_id, each.instrument_id, CASE WHEN p.stream IS NULL THEN now() ELSE carried.received_at END AS ended_at
    FROM opened AS o
    CROSS JOIN LATERAL unnest(o.instruments) AS each (instrument_id)
    LEFT JOIN placed AS p ON p.instrument_id = each.instrument_id
    LEFT JOIN LATERAL (
        SELECT t.received_at FROM ticks AS t
        WHERE t.instrument_id = p.instrument_id AND t.time > o.since AND t.received_at > o.since
        ORDER BY t.time LIMIT 1
    ) AS carried ON true
    UNION ALL
    SELECT o.gap_id, NULL, now() FROM opened AS o
    WHERE o.instruments = '{}' AND NOT EXISTS (
        SELECT FROM (SELECT DISTINCT stream FROM placed) AS p
        LEFT JOIN streams AS s
        ON s.stream = p.stream AND s.state = 'streaming' AND s.frames > 0 AND s.heartbeat_at > now() - INTERVAL '45 seconds'
        LEFT JOIN journal_positions AS j ON j.stream = s.stream AND j.last_received_at > o.since
        WHERE j.stream IS NULL
    )
),
ends AS MATERIALIZED (
    SELECT
        gap_id, max(ended_at) AS ended_at, array_remove(array_agg(instrument_id ORDER BY instrument_id), NULL) AS instruments,
        row_number() OVER (PARTITION BY gap_id ORDER BY max(ended_at) DESC NULLS FIRST) AS number
    FROM parts
    GROUP BY gap_id, date_trunc('minute', ended_at)
),
others AS (
    INSERT INTO gaps (stream, broker, started_at, ended_at, cause, instruments, covered_by)
    SELECT g.stream, g.broker, g.started_at, e.ended_at, g.cause, e.instruments, g.covered_by
    FROM ends AS e
    JOIN gaps AS g ON g.gap_id = e.gap_id
    WHERE e.number > 1
)
UPDATE gaps SET ended_at = e.ended_at, instruments = e.instruments
FROM ends AS e
WHERE e.gap_id = gaps.gap_id AND e.number = 1
AND (e.ended_at IS NOT NULL OR cardinality(e.instruments) < cardinality(gaps.instruments))
