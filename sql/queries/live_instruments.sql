-- A few subscribed instruments, some of each kind: last price, last candle, how fresh they are.
-- lag_seconds is from the exchange's stamp to now; stamps are whole seconds.
WITH shown AS (
    SELECT i.instrument_id, i.exchange || ':' || i.symbol AS name, i.kind, row_number() OVER (
        PARTITION BY i.kind, i.exchange ORDER BY s.since, s.instrument_id
    ) AS place
    FROM subscriptions AS s
    JOIN instruments AS i USING (instrument_id)
    WHERE s.is_active
    ORDER BY place, i.kind, i.instrument_id
    LIMIT :rows::bigint
)
SELECT
    shown.name,
    tick.last_price,
    extract(EPOCH FROM now() - tick.time)::double precision AS lag_seconds,
    recent.ticks / 10.0::double precision AS ticks_per_second,
    candle.time, candle.open, candle.high, candle.low, candle.close, candle.volume
FROM shown
LEFT JOIN LATERAL (
    SELECT t.time, t.last_price FROM ticks AS t
    WHERE t.instrument_id = shown.instrument_id AND t.time > now() - INTERVAL '15 minutes'
    ORDER BY t.time DESC, t.seq DESC LIMIT 1
) AS tick ON true
LEFT JOIN LATERAL (
    SELECT count(*) AS ticks FROM ticks AS t
    WHERE t.instrument_id = shown.instrument_id AND t.time > now() - INTERVAL '10 seconds'
) AS recent ON true
LEFT JOIN LATERAL (
    SELECT c.* FROM candles_1m AS c
    WHERE c.instrument_id = shown.instrument_id AND c.time > now() - INTERVAL '15 minutes'
    ORDER BY c.time DESC LIMIT 1
) AS candle ON true
ORDER BY shown.kind, shown.name
