-- Gaps that ended without the stream, when nobody wanted it: it is wanted again, and has them until it receives something. Those
-- that its journal tells of have ended before it received anything last.
INSERT INTO gaps (stream, broker, started_at, cause, instruments)
SELECT
    :stream, g.broker, now(), (array_agg(g.cause ORDER BY g.gap_id DESC))[1],
    CASE WHEN bool_or(g.instruments = '{}') THEN '{}' ELSE array_agg(DISTINCT each.instrument_id) END
FROM gaps AS g
LEFT JOIN LATERAL unnest(g.instruments) AS each (instrument_id) ON true
WHERE g.stream = :stream AND g.broker = ANY (:brokers::text[]) AND g.ended_at > greatest(:at::timestamptz, g.started_at)
GROUP BY g.broker
ON CONFLICT (stream, broker, (covered_by IS NULL)) WHERE ended_at IS NULL DO NOTHING
