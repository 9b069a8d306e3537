-- A broker's ticks since an instant, under the tokens that named their instruments that day; also those it sent while it
-- stood by, but for those that were told again where the preferred feed died behind: these are in both tables.
WITH of_feed AS (
    SELECT ticks.* FROM ticks WHERE received_at >= :since
    UNION ALL
    SELECT s.* FROM standby_ticks AS s
    WHERE s.received_at >= :since
    AND NOT EXISTS (
        SELECT FROM ticks AS t
        WHERE t.instrument_id = s.instrument_id AND t.time = s.time AND t.received_at = s.received_at
        AND t.feed = s.feed AND t.day_volume = s.day_volume
    )
)
SELECT
    b.token,
    (extract(EPOCH FROM t.received_at) * 1000000)::bigint AS received_at,
    t.seq & 4294967295 AS arrival,
    t.last_price, t.last_quantity, t.average_price, t.day_volume, t.open_interest,
    t.buy_quantity, t.sell_quantity, t.bid_price, t.bid_quantity, t.ask_price, t.ask_quantity,
    extract(EPOCH FROM t.exchange_time)::bigint AS exchange_time
FROM of_feed AS t
JOIN broker_instruments AS b
ON b.broker = :broker AND b.instrument_id = t.instrument_id
AND (t.received_at AT TIME ZONE 'Asia/Kolkata')::date >= b.valid_from
AND ((t.received_at AT TIME ZONE 'Asia/Kolkata')::date < b.valid_to OR b.valid_to IS NULL)
LEFT JOIN feeds AS f ON f.feed = t.feed
WHERE coalesce(f.broker, :broker) = :broker
