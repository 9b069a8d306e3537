-- Puts against calls of an underlying, as EXCHANGE:UNDERLYING, that expire on a day and were subscribed, over time: the open
-- interest of all, and what was traded since the beginning of each day, with their ratios.
--
-- Of our own candles of 5 minutes, or of 15 where more than two days are asked for: what the broker has repaired is not in
-- them. A contract that does not trade keeps the open interest of its last candle, of the ten days before as well.
-- Without jit: to compile what runs for a tenth of a second takes longer than that.
CREATE OR REPLACE FUNCTION dashboard_put_call(
    wanted_underlying text, wanted_expiry text, from_time timestamptz, to_time timestamptz
) RETURNS TABLE (
    "time" timestamptz, call_open_interest bigint, put_open_interest bigint, open_interest_ratio double precision,
    call_volume bigint, put_volume bigint, volume_ratio double precision
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT SET jit = off AS $$
    WITH contracts AS MATERIALIZED (
        SELECT i.instrument_id, i.kind FROM instruments AS i
        JOIN subscriptions AS s ON s.instrument_id = i.instrument_id
        WHERE i.exchange = split_part(wanted_underlying, ':', 1) AND i.underlying = split_part(wanted_underlying, ':', 2)
        AND i.expiry::text = wanted_expiry AND i.kind IN ('CE', 'PE')
    ),
    made AS MATERIALIZED (
        SELECT instrument_id, time, volume, open_interest FROM candles_5m
        WHERE to_time - from_time <= INTERVAL '2 days' AND instrument_id = ANY (ARRAY(SELECT instrument_id FROM contracts))
        AND time >= date_trunc('day', from_time, 'Asia/Kolkata') AND time < to_time
        UNION ALL
        SELECT instrument_id, time, volume, open_interest FROM candles_15m
        WHERE to_time - from_time > INTERVAL '2 days' AND instrument_id = ANY (ARRAY(SELECT instrument_id FROM contracts))
        AND time >= date_trunc('day', from_time, 'Asia/Kolkata') AND time < to_time
    ),
    before AS MATERIALIZED (
        SELECT c.instrument_id, c.kind, coalesce(last.open_interest, 0) AS open_interest
        FROM contracts AS c
        LEFT JOIN LATERAL (
            SELECT open_interest FROM candles_15m
            WHERE instrument_id = c.instrument_id AND open_interest IS NOT NULL
            AND time >= date_trunc('day', from_time, 'Asia/Kolkata') - INTERVAL '10 days'
            AND time < date_trunc('day', from_time, 'Asia/Kolkata')
            ORDER BY time DESC LIMIT 1
        ) AS last ON true
    ),
    moves AS (
        SELECT
            m.time, b.kind, 0 AS volume,
            m.open_interest - lag(m.open_interest, 1, b.open_interest) OVER (PARTITION BY m.instrument_id ORDER BY m.time) AS change
        FROM made AS m
        JOIN before AS b ON b.instrument_id = m.instrument_id
        WHERE m.open_interest IS NOT NULL
        UNION ALL
        SELECT m.time, b.kind, m.volume, 0 FROM made AS m
        JOIN before AS b ON b.instrument_id = m.instrument_id
    ),
    steps AS (
        SELECT
            time, date_trunc('day', time, 'Asia/Kolkata') AS day,
            coalesce(sum(change) FILTER (WHERE kind = 'CE'), 0) AS call_change,
            coalesce(sum(change) FILTER (WHERE kind = 'PE'), 0) AS put_change,
            coalesce(sum(volume) FILTER (WHERE kind = 'CE'), 0) AS call_volume,
            coalesce(sum(volume) FILTER (WHERE kind = 'PE'), 0) AS put_volume
        FROM moves
        GROUP BY time
    ),
    totals AS (
        SELECT
            time,
            (SELECT sum(open_interest) FROM before WHERE kind = 'CE') + sum(call_change) OVER (ORDER BY time) AS calls,
            (SELECT sum(open_interest) FROM before WHERE kind = 'PE') + sum(put_change) OVER (ORDER BY time) AS puts,
            sum(call_volume) OVER (PARTITION BY day ORDER BY time) AS call_volume,
            sum(put_volume) OVER (PARTITION BY day ORDER BY time) AS put_volume
        FROM steps
    )
    SELECT
        time, calls::bigint, puts::bigint, (puts / nullif(calls, 0))::double precision,
        call_volume::bigint, put_volume::bigint, (put_volume / nullif(call_volume, 0))::double precision
    FROM totals
    WHERE time >= from_time
    ORDER BY time
$$
