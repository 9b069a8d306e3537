-- The strikes of dashboard_chain() around the forward, as many as wanted on either side, with how calls and puts have changed
-- against the close of the day before.
-- Without jit: to compile what runs for a tenth of a second takes longer than that.
CREATE OR REPLACE FUNCTION dashboard_near_the_money(
    wanted_underlying text, wanted_expiry text, before timestamptz, strikes_each_side integer
) RETURNS TABLE (
    call_open_interest bigint, call_volume bigint, call_change_percent double precision, call_bid double precision,
    call_ask double precision, call_ltp double precision, strike double precision, put_ltp double precision,
    put_bid double precision, put_ask double precision, put_change_percent double precision, put_volume bigint,
    put_open_interest bigint
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT SET jit = off AS $$
    WITH near AS MATERIALIZED (
        SELECT * FROM (
            SELECT
                *, row_number() OVER (PARTITION BY strike >= forward ORDER BY abs(strike - forward)) AS distance
            FROM dashboard_chain(wanted_underlying, wanted_expiry, before)
        ) AS chain
        WHERE distance <= strikes_each_side OR forward IS NULL
    ),
    closes AS MATERIALIZED (
        SELECT instrument_id, previous_close
        FROM current_quotes(ARRAY(SELECT unnest(ARRAY[call_id, put_id]) FROM near), before, true)
    )
    SELECT
        call_open_interest, call_volume, 100 * (call_ltp / nullif(calls.previous_close, 0) - 1), call_bid, call_ask, call_ltp,
        strike,
        put_ltp, put_bid, put_ask, 100 * (put_ltp / nullif(puts.previous_close, 0) - 1), put_volume, put_open_interest
    FROM near
    LEFT JOIN closes AS calls ON calls.instrument_id = call_id
    LEFT JOIN closes AS puts ON puts.instrument_id = put_id
    ORDER BY strike
$$
