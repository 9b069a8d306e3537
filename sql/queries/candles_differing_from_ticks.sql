-- Completed minutes of some subscribed instruments, as stored and as their ticks make them now.
-- Left out: minutes that the next refresh will correct, and those whose ticks were dropped.
WITH progress AS (
    SELECT
        greatest(:starts_at, ticks_dropped_before) AS starts_at,
        least(:ends_at, watermark) AS ends_at
    FROM candle_progress
),
sample AS (
    SELECT instrument_id FROM subscriptions
    ORDER BY hashint8extended(instrument_id, :seed::bigint) LIMIT :sample::bigint
),
made AS (
    SELECT
        ticks.instrument_id,
        date_bin('1 minute', ticks.time, TIMESTAMPTZ '2000-01-03 00:00:00+00') AS time,
        sum(ticks.volume)::bigint AS volume,
        count(*) FILTER (WHERE ticks.is_trade) AS trades
    FROM sample JOIN ticks ON ticks.instrument_id = sample.instrument_id
    WHERE ticks.time >= (SELECT starts_at FROM progress) AND ticks.time < (SELECT ends_at FROM progress)
    GROUP BY 1, 2
    HAVING count(*) FILTER (WHERE ticks.is_trade) > 0
),
stored AS (
    SELECT candles.instrument_id, candles.time, candles.volume, candles.trades
    FROM sample JOIN candles_1m AS candles ON candles.instrument_id = sample.instrument_id
    WHERE candles.time >= (SELECT starts_at FROM progress) AND candles.time < (SELECT ends_at FROM progress)
)
SELECT
    count(*) AS compared,
    count(*) FILTER (
        WHERE (made.volume, made.trades) IS DISTINCT FROM (stored.volume, stored.trades)
    ) AS differing
FROM made FULL JOIN stored USING (instrument_id, time)
WHERE NOT EXISTS (
    SELECT FROM candle_invalidations AS late
    WHERE late.instrument_id = coalesce(made.instrument_id, stored.instrument_id)
    AND late.time = coalesce(made.time, stored.time)
)
