-- Completed minutes of some subscribed instruments: every tick, and every candle (trades is not NULL) as stored.
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
)
SELECT found.*
FROM sample
CROSS JOIN LATERAL (
    SELECT
        instrument_id, time, seq, is_trade, last_price, high, low, volume, open_interest,
        NULL::double precision AS open, NULL::double precision AS close, NULL::bigint AS trades
    FROM ticks
    WHERE ticks.instrument_id = sample.instrument_id
    AND time >= (SELECT starts_at FROM progress) AND time < (SELECT ends_at FROM progress)
    UNION ALL
    SELECT
        instrument_id, time, NULL, NULL, NULL, high, low, volume, open_interest,
        open, close, trades
    FROM candles_1m AS candles
    WHERE candles.instrument_id = sample.instrument_id
    AND time >= (SELECT starts_at FROM progress) AND time < (SELECT ends_at FROM progress)
) AS found
WHERE NOT EXISTS (
    SELECT FROM candle_invalidations AS late
    WHERE late.instrument_id = found.instrument_id
    AND late.time = date_bin('1 minute', found.time, TIMESTAMPTZ '2000-01-03 00:00:00+00')
)
