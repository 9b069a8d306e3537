-- The calls and puts of an underlying, as EXCHANGE:UNDERLYING, that expire on a day and were subscribed, strike by strike, as they
-- stood before a time.
--
-- forward is what the chain itself takes the underlying's price at expiry to be: strike + call - put, where call and put are
-- closest to each other and both have traded: what never did stands at 0. volume is that of the newest day on which anything of
-- the chain was sent.
-- Without jit: to compile what runs for a tenth of a second takes longer than that.
CREATE OR REPLACE FUNCTION dashboard_chain(wanted_underlying text, wanted_expiry text, before timestamptz) RETURNS TABLE (
    strike double precision, forward double precision, call_id bigint, put_id bigint,
    call_ltp double precision, put_ltp double precision, call_bid double precision, call_ask double precision,
    put_bid double precision, put_ask double precision, call_volume bigint, put_volume bigint,
    call_open_interest bigint, put_open_interest bigint
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT SET jit = off AS $$
    WITH contracts AS MATERIALIZED (
        SELECT i.instrument_id, i.kind, i.strike FROM instruments AS i
        JOIN subscriptions AS s ON s.instrument_id = i.instrument_id
        WHERE i.exchange = split_part(wanted_underlying, ':', 1) AND i.underlying = split_part(wanted_underlying, ':', 2)
        AND i.expiry::text = wanted_expiry AND i.kind IN ('CE', 'PE')
    ),
    quotes AS MATERIALIZED (
        SELECT
            c.instrument_id, c.kind, c.strike, q.last_price, q.bid_price, q.ask_price, q.open_interest,
            CASE
                WHEN q.time >= date_trunc('day', max(q.time) OVER (), 'Asia/Kolkata') THEN q.day_volume
            END AS volume
        FROM current_quotes(ARRAY(SELECT instrument_id FROM contracts), before, false) AS q
        JOIN contracts AS c ON c.instrument_id = q.instrument_id
        WHERE q.time IS NOT NULL
    ),
    strikes AS MATERIALIZED (
        SELECT
            strike, c.instrument_id AS call_id, p.instrument_id AS put_id,
            c.last_price AS call_ltp, p.last_price AS put_ltp,
            c.bid_price AS call_bid, c.ask_price AS call_ask, p.bid_price AS put_bid, p.ask_price AS put_ask,
            c.volume AS call_volume, p.volume AS put_volume,
            c.open_interest AS call_open_interest, p.open_interest AS put_open_interest
        FROM (SELECT * FROM quotes WHERE kind = 'CE') AS c
        FULL JOIN (SELECT * FROM quotes WHERE kind = 'PE') AS p USING (strike)
    ),
    middle AS (
        SELECT strike + call_ltp - put_ltp AS forward FROM strikes
        WHERE call_ltp > 0 AND put_ltp > 0
        ORDER BY abs(call_ltp - put_ltp), strike LIMIT 1
    )
    SELECT
        strike, (SELECT forward FROM middle), call_id, put_id, call_ltp, put_ltp, call_bid, call_ask, put_bid, put_ask,
        call_volume, put_volume, call_open_interest, put_open_interest
    FROM strikes
    ORDER BY strike
$$
