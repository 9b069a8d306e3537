-- How long after the exchange's stamp ticks were received, of those received from one time up to another: how many in
-- each bucket, which end at :edges (seconds) and lie above the last edge at bucket 0, and their sum.
SELECT
    coalesce(array_position(:edges::double precision[], edge), 0) AS bucket, count(*) AS ticks, sum(lag) AS seconds
FROM (
    SELECT greatest(extract(EPOCH FROM received_at - coalesce(exchange_time, time)), 0)::double precision AS lag
    FROM ticks
    -- The index is on time.
    WHERE time > :start::timestamptz - INTERVAL '10 minutes' AND time <= :ends::timestamptz + INTERVAL '1 minute'
    AND received_at >= :start AND received_at < :ends
) AS recent
CROSS JOIN LATERAL (
    SELECT min(edge) AS edge FROM unnest(:edges) AS edge WHERE edge >= recent.lag
) AS found
GROUP BY edge
