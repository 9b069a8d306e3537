-- The close of one instrument on the last day before a midnight on which anything was traded, of the ten days before it, as
-- candles() has it.
CREATE OR REPLACE FUNCTION close_before(wanted_instrument_id bigint, midnight timestamptz)
RETURNS double precision LANGUAGE sql STABLE AS $$
    WITH ours AS MATERIALIZED (
        SELECT m.time FROM candles_1m AS m
        WHERE m.instrument_id = wanted_instrument_id AND m.time >= midnight - INTERVAL '10 days' AND m.time < midnight
        ORDER BY m.time DESC LIMIT 1
    ),
    theirs AS MATERIALIZED (
        SELECT lengths.minutes, b.time, b.close FROM (VALUES (1), (1440)) AS lengths (minutes)
        CROSS JOIN LATERAL (
            SELECT time, close FROM broker_candles
            WHERE instrument_id = wanted_instrument_id AND minutes = lengths.minutes
            AND time >= midnight - INTERVAL '10 days' AND time < midnight
            -- Of an index all, for one of a minute without a trade is flat at the close before.
            AND (volume IS DISTINCT FROM 0 OR high > low)
            ORDER BY time DESC, fetched_at DESC LIMIT 1
        ) AS b
    ),
    before AS MATERIALIZED (
        SELECT max(each.time) AS time, date_trunc('day', max(each.time), 'Asia/Kolkata') AS day
        FROM (SELECT time FROM ours UNION ALL SELECT time FROM theirs) AS each
    )
    SELECT CASE
        -- Nothing of ours on that day, as before the first session that was streamed: the broker's last, of its shortest length.
        WHEN NOT EXISTS (SELECT FROM ours WHERE ours.time >= before.day)
        AND NOT EXISTS (
            SELECT FROM candle_repairs AS r
            WHERE r.instrument_id = wanted_instrument_id AND r.time >= before.day AND r.time < midnight
        )
        THEN (SELECT close FROM theirs WHERE theirs.time >= before.day ORDER BY minutes LIMIT 1)
        ELSE coalesce(
            (
                -- Nearly always there is one in the last hour of trading, and a whole day takes ten times as long.
                SELECT close FROM candle_minutes(
                    wanted_instrument_id, greatest(before.day, before.time - INTERVAL '1 hour'),
                    before.time + INTERVAL '1 minute'
                ) ORDER BY time DESC LIMIT 1
            ),
            (SELECT close FROM candles(wanted_instrument_id, INTERVAL '1 day', before.day, before.day + INTERVAL '1 day'))
        )
    END
    FROM before
$$
