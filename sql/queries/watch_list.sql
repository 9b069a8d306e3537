-- What is subscribed, after one of them, with its newest tick of the last days and the close of the day before that: of the last
-- day on which anything was traded, as candles() has it. Stale is that of which nothing comes on a stream that lives.
WITH page AS MATERIALIZED (
    SELECT i.* FROM subscriptions AS w
    JOIN instruments AS i ON i.instrument_id = w.instrument_id
    WHERE w.is_active AND w.instrument_id > :after::bigint
    ORDER BY w.instrument_id
    LIMIT :rows::bigint
)
SELECT
    i.instrument_id, i.exchange, i.symbol, i.name, i.kind, i.tick_size, q.time, q.last_price, q.previous_close,
    EXISTS (
        SELECT FROM streams AS s
        WHERE i.instrument_id = ANY (s.stale_instruments)
        AND s.state = 'streaming' AND s.heartbeat_at > now() - INTERVAL '45 seconds'
    ) AS is_stale
FROM page AS i
JOIN current_quotes(ARRAY(SELECT instrument_id FROM page), 'infinity', true) AS q ON q.instrument_id = i.instrument_id
ORDER BY i.instrument_id
