-- When the first candle of an instrument begins from one time up to another, or about then: no candle is before it.
SELECT least(
    (
        SELECT time FROM candles_1m
        WHERE instrument_id = :instrument_id::bigint AND time >= :start::timestamptz AND time < :ends::timestamptz
        ORDER BY time LIMIT 1
    ),
    (
        SELECT min(first.time) FROM (VALUES (1), (:minutes::integer)) AS lengths (minutes)
        CROSS JOIN LATERAL (
            SELECT b.time FROM broker_candles AS b
            WHERE b.instrument_id = :instrument_id AND b.minutes = lengths.minutes
            AND b.time >= :start AND b.time < :ends
            ORDER BY b.time LIMIT 1
        ) AS first
    )
) AS time
