-- On which days options of an underlying, as EXCHANGE:UNDERLYING, expire that were subscribed and have ticks or candles: the next
-- first, those that are over last.
CREATE OR REPLACE FUNCTION dashboard_expiries(wanted_underlying text) RETURNS TABLE (expiry text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT e.expiry::text
    FROM (
        SELECT DISTINCT i.expiry FROM instruments AS i
        JOIN subscriptions AS s ON s.instrument_id = i.instrument_id
        WHERE i.exchange = split_part(wanted_underlying, ':', 1) AND i.underlying = split_part(wanted_underlying, ':', 2)
        AND i.kind IN ('CE', 'PE')
    ) AS e
    CROSS JOIN LATERAL (SELECT e.expiry < (now() AT TIME ZONE 'Asia/Kolkata')::date AS has_expired) AS x
    WHERE EXISTS (
        SELECT FROM instruments AS i
        JOIN subscriptions AS s ON s.instrument_id = i.instrument_id
        WHERE i.exchange = split_part(wanted_underlying, ':', 1) AND i.underlying = split_part(wanted_underlying, ':', 2)
        AND i.expiry = e.expiry AND i.kind IN ('CE', 'PE')
        AND (
            EXISTS (SELECT FROM ticks AS t WHERE t.instrument_id = i.instrument_id)
            OR EXISTS (SELECT FROM candles_1m AS c WHERE c.instrument_id = i.instrument_id)
        )
    )
    ORDER BY has_expired, CASE WHEN has_expired THEN NULL ELSE e.expiry END, e.expiry DESC
$$
