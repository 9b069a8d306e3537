-- The best level of the order book of one instrument, and what all its orders come to, as last sent in each step of time, such as
-- 15s. Deeper levels are not stored. The spread is in rupees and in hundredths of a percent of the middle; imbalance is
-- 1 where all orders want to buy and -1 where all want to sell. A side without orders is NULL.
CREATE OR REPLACE FUNCTION dashboard_depth(instrument text, step text, from_time timestamptz, to_time timestamptz)
RETURNS TABLE (
    "time" timestamptz, ltp double precision, bid double precision, ask double precision,
    spread double precision, spread_basis_points double precision, bid_quantity bigint, ask_quantity bigint,
    buy_quantity bigint, sell_quantity bigint, imbalance double precision
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    WITH latest AS (
        SELECT DISTINCT ON (bin)
            bin, last_price, bid_quantity, ask_quantity, buy_quantity, sell_quantity,
            CASE WHEN bid_quantity > 0 THEN bid_price END AS bid,
            CASE WHEN ask_quantity > 0 THEN ask_price END AS ask
        FROM (
            SELECT *, date_bin(greatest(step::interval, INTERVAL '1 second'), time, 'epoch') AS bin FROM ticks
            WHERE instrument_id = CASE WHEN instrument ~ '^[0-9]{1,18}$' THEN instrument::bigint END
            AND time >= from_time AND time < to_time
        ) AS sent
        ORDER BY bin, time DESC, seq DESC
    )
    SELECT
        bin, last_price, bid, ask, ask - bid, 10000 * (ask - bid) / nullif((ask + bid) / 2, 0),
        bid_quantity, ask_quantity, buy_quantity, sell_quantity,
        (buy_quantity - sell_quantity)::double precision / nullif(buy_quantity + sell_quantity, 0)
    FROM latest
    ORDER BY bin
$$
