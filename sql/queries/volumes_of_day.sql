-- What was traded of each instrument while it was watched: in its candles, and by the day's volume in its ticks.
-- The first and the last tick usually tell; where they do not, all ticks of the instrument are looked at, some of which
-- may not know what was traded before them. Left out: instruments with candles that the next refresh will correct.
WITH progress AS (
    SELECT greatest(:starts_at, ticks_dropped_before) AS starts_at FROM candle_progress
),
candles AS (
    SELECT instrument_id, sum(volume)::bigint AS volume FROM candles_1m
    WHERE time >= (SELECT starts_at FROM progress) AND time < :ends_at
    GROUP BY instrument_id
),
watched AS (
    SELECT
        s.instrument_id,
        i.exchange || ':' || i.symbol AS name,
        coalesce(candles.volume, 0) AS in_candles,
        newest.day_volume - oldest.volume_before AS in_ticks,
        candles.instrument_id IS NOT NULL AS has_candles
    FROM subscriptions AS s
    JOIN instruments AS i ON i.instrument_id = s.instrument_id AND i.kind <> 'INDEX'
    LEFT JOIN candles ON candles.instrument_id = s.instrument_id
    LEFT JOIN LATERAL (
        SELECT day_volume - volume AS volume_before FROM ticks
        WHERE ticks.instrument_id = s.instrument_id AND day_volume IS NOT NULL AND volume IS NOT NULL
        AND time >= (SELECT starts_at FROM progress) AND time < :ends_at
        ORDER BY time, seq LIMIT 1
    ) AS oldest ON true
    LEFT JOIN LATERAL (
        SELECT day_volume FROM ticks
        WHERE ticks.instrument_id = s.instrument_id AND day_volume IS NOT NULL AND volume IS NOT NULL
        AND time >= (SELECT starts_at FROM progress) AND time < :ends_at
        ORDER BY time DESC, seq DESC LIMIT 1
    ) AS newest ON true
    WHERE NOT EXISTS (
        SELECT FROM candle_invalidations AS late
        WHERE late.instrument_id = s.instrument_id AND late.time >= :starts_at AND late.time < :ends_at
    )
)
SELECT
    w.name,
    w.in_candles,
    coalesce(every.in_ticks, w.in_ticks) AS in_ticks,
    coalesce(every.is_unknown, w.in_ticks IS NULL) AS is_unknown
FROM watched AS w
LEFT JOIN LATERAL (
    SELECT
        max(day_volume) FILTER (WHERE volume IS NOT NULL) - min(day_volume - volume) AS in_ticks,
        bool_or(volume IS NULL AND received_at > first_known_at) AS is_unknown
    FROM (
        SELECT *, min(received_at) FILTER (WHERE volume IS NOT NULL) OVER () AS first_known_at FROM ticks
        WHERE ticks.instrument_id = w.instrument_id AND day_volume IS NOT NULL
        AND time >= (SELECT starts_at FROM progress) AND time < :ends_at
        AND w.in_candles <> w.in_ticks
    ) AS known
) AS every ON true
WHERE w.has_candles OR w.in_ticks IS NOT NULL
