-- On which stream each subscription is, by its number, or has to be put. Those that are on one stay there: when others leave,
-- their places are free, and newcomers take the first free ones, the longest subscribed first. Only of a stream that has more
-- than it may have, as after a change of broker, the newest are newcomers. What is not active has no place, nor what none of
-- the brokers offers: number is NULL. is_kept: subscriptions.stream_number says so already.
CREATE OR REPLACE FUNCTION find_places(brokers text[], per_stream bigint) RETURNS TABLE (
    instrument_id bigint, mode text, number integer, is_kept boolean
) LANGUAGE sql STABLE AS $$
    WITH subscribed AS MATERIALIZED (
        SELECT
            s.instrument_id, s.mode, s.since, s.stream_number AS kept, s.is_active AND o.broker IS NOT NULL AS is_wanted
        FROM subscriptions AS s
        LEFT JOIN LATERAL (  -- EXISTS would read all that the brokers offer
            SELECT b.broker FROM broker_instruments AS b
            WHERE b.instrument_id = s.instrument_id AND b.broker = ANY (brokers) AND b.valid_to IS NULL
            LIMIT 1
        ) AS o ON true
        WHERE (s.is_active OR s.stream_number IS NOT NULL) AND (SELECT is_streaming FROM desired_state)
    ),
    wanted AS MATERIALIZED (
        SELECT
            *,
            kept IS NOT NULL AND row_number() OVER (PARTITION BY kept ORDER BY since, instrument_id) <= per_stream AS stays
        FROM subscribed
        WHERE is_wanted
    ),
    newcomers AS (
        SELECT instrument_id, row_number() OVER (ORDER BY since, instrument_id) AS turn FROM wanted WHERE NOT stays
    ),
    taken AS (
        SELECT kept, count(*) AS places FROM wanted WHERE stays GROUP BY kept
    ),
    free AS (
        SELECT number, row_number() OVER (ORDER BY number) AS turn
        FROM generate_series(0, (SELECT (count(*) - 1) / per_stream FROM wanted)) AS number
        LEFT JOIN taken ON taken.kept = number
        CROSS JOIN LATERAL generate_series(1, per_stream - coalesce(taken.places, 0))
    )
    SELECT instrument_id, mode, NULL::integer, kept IS NULL FROM subscribed WHERE NOT is_wanted
    UNION ALL
    SELECT instrument_id, mode, kept, true FROM wanted WHERE stays
    UNION ALL
    SELECT w.instrument_id, w.mode, f.number::integer, coalesce(f.number = w.kept, false)
    FROM wanted AS w
    JOIN newcomers AS n ON n.instrument_id = w.instrument_id
    JOIN free AS f ON f.turn = n.turn
$$
