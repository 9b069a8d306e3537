-- Ticks of all instruments, numbered from first to last.
INSERT INTO ticks (
    time, instrument_id, seq, last_price, last_quantity, average_price, day_volume, volume, open_interest, buy_quantity,
    sell_quantity, bid_price, bid_quantity, ask_price, ask_quantity, high, low, exchange_time, received_at, is_trade
)
SELECT
    at, i.instrument_id, extract(EPOCH FROM at)::bigint << 32 | (n %% 1000000), price, 5, price,
    CASE WHEN kind <> 'INDEX' THEN 5 * (n + 1) END, CASE WHEN kind <> 'INDEX' THEN 5 END,
    CASE WHEN underlying IS NOT NULL THEN 100000 + 75 * i.instrument_id + n END, 900 + n %% 100, 1000 - n %% 100,
    price - 0.05, 50 + n %% 9, price + 0.05, 60 - n %% 9, price, price, date_trunc('second', at),
    at + INTERVAL '300 milliseconds', true
FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
CROSS JOIN instruments AS i
CROSS JOIN LATERAL (SELECT CASE kind
    WHEN 'INDEX' THEN 24000 WHEN 'FUT' THEN 24050
    WHEN 'CE' THEN 40 + greatest(24000 - strike, 0) WHEN 'PE' THEN 40 + greatest(strike - 24000, 0)
    ELSE 100 + i.instrument_id END AS middle) AS m
CROSS JOIN LATERAL (
    SELECT
        %(start)s::timestamptz + n * %(every)s::interval + (i.instrument_id %% 4) * INTERVAL '200 milliseconds' AS at,
        round((middle * (1 + 0.01 * sin(n / 200.0 + i.instrument_id)))::numeric, 2)::double precision AS price
) AS p
ORDER BY date_trunc('second', at), i.instrument_id
