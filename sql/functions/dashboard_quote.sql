-- What one instrument stands at, and the best level of its order book; age in seconds. instrument is an instrument_id; of anything
-- else there is nothing.
--
-- imbalance is of all orders of the book, not of the best level alone: 1 where all want to buy, -1 where all want to sell.
CREATE OR REPLACE FUNCTION dashboard_quote(instrument text) RETURNS TABLE (
    ltp double precision, change double precision, change_percent double precision, volume bigint, open_interest bigint,
    bid double precision, bid_quantity bigint, ask double precision, ask_quantity bigint, spread double precision,
    buy_quantity bigint, sell_quantity bigint, imbalance double precision, "time" timestamptz, age double precision
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT
        last_price, last_price - previous_close, 100 * (last_price / nullif(previous_close, 0) - 1),
        day_volume, open_interest, bid_price, bid_quantity, ask_price, ask_quantity, ask_price - bid_price,
        buy_quantity, sell_quantity,
        (buy_quantity - sell_quantity)::double precision / nullif(buy_quantity + sell_quantity, 0),
        time, extract(epoch FROM now() - time)::double precision
    FROM current_quotes(
        ARRAY[CASE WHEN instrument ~ '^[0-9]{1,18}$' THEN instrument::bigint END], 'infinity', true
    )
    WHERE time IS NOT NULL
$$
