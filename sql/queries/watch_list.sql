-- What is subscribed, after one of them, with its newest tick of the last days and the close of the day before that: of the last
-- day on which anything was traded, as candles() has it. Stale is that of which nothing comes on a stream that lives.
SELECT
    i.instrument_id, i.exchange, i.symbol, i.name, i.kind, i.tick_size, t.time, t.last_price, previous_close,
    EXISTS (
        SELECT FROM streams AS s
        WHERE i.instrument_id = ANY (s.stale_instruments)
        AND s.state = 'streaming' AND s.heartbeat_at > now() - INTERVAL '45 seconds'
    ) AS is_stale
FROM subscriptions AS w
JOIN instruments AS i ON i.instrument_id = w.instrument_id
LEFT JOIN LATERAL (
    SELECT time, last_price FROM ticks
    WHERE instrument_id = i.instrument_id AND time > now() - INTERVAL '5 days'
    ORDER BY time DESC, seq DESC LIMIT 1
) AS t ON true
CROSS JOIN LATERAL (SELECT date_trunc('day', coalesce(t.time, now()), 'Asia/Kolkata') AS midnight) AS today
CROSS JOIN LATERAL (
    SELECT max(each.time) AS time FROM (
        (
            SELECT m.time FROM candles_1m AS m
            WHERE m.instrument_id = i.instrument_id
            AND m.time >= midnight - INTERVAL '10 days' AND m.time < midnight
            ORDER BY m.time DESC LIMIT 1
        )
        UNION ALL
        SELECT b.time FROM (VALUES (1), (1440)) AS lengths (minutes)
        CROSS JOIN LATERAL (
            SELECT time FROM broker_candles
            WHERE instrument_id = i.instrument_id AND minutes = lengths.minutes
            AND time >= midnight - INTERVAL '10 days' AND time < midnight
            ORDER BY time DESC LIMIT 1
        ) AS b
    ) AS each
) AS last
CROSS JOIN LATERAL (SELECT date_trunc('day', last.time, 'Asia/Kolkata') AS day) AS before
CROSS JOIN LATERAL (
    SELECT coalesce(
        (
            -- Nearly always there is one in the last hour of trading, and a whole day takes ten times as long.
            SELECT close FROM candle_minutes(
                i.instrument_id, greatest(day, last.time - INTERVAL '1 hour'), last.time + INTERVAL '1 minute'
            ) ORDER BY time DESC LIMIT 1
        ),
        (SELECT close FROM candles(i.instrument_id, INTERVAL '1 day', day, day + INTERVAL '1 day'))
    ) AS previous_close
) AS previous
WHERE w.is_active AND w.instrument_id > :after::bigint
ORDER BY w.instrument_id
LIMIT :rows::bigint
