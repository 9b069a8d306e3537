-- A page of an instrument's ticks in order, after one of them.
SELECT
    time, seq, last_price, last_quantity, average_price, day_volume, volume, open_interest, buy_quantity, sell_quantity,
    bid_price, bid_quantity, ask_price, ask_quantity, high, low, exchange_time, received_at, is_trade,
    (SELECT broker FROM feeds WHERE feeds.feed = ticks.feed) AS broker
FROM ticks
WHERE instrument_id = :instrument_id::bigint
AND time >= :start::timestamptz AND time < :ends::timestamptz
AND (time > :start OR seq > :after::bigint)
ORDER BY time, seq
LIMIT :rows::bigint
