-- What there are options of that were subscribed and have ticks or candles, as EXCHANGE:UNDERLYING.
CREATE OR REPLACE FUNCTION dashboard_underlyings() RETURNS TABLE (underlying text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT u.exchange || ':' || u.underlying
    FROM (
        SELECT i.exchange, i.underlying, count(*) AS contracts
        FROM subscriptions AS s
        JOIN instruments AS i ON i.instrument_id = s.instrument_id
        WHERE i.kind IN ('CE', 'PE')
        GROUP BY i.exchange, i.underlying
    ) AS u
    WHERE EXISTS (
        SELECT FROM instruments AS i
        JOIN subscriptions AS s ON s.instrument_id = i.instrument_id
        WHERE i.underlying = u.underlying AND i.exchange = u.exchange AND i.kind IN ('CE', 'PE')
        AND (
            EXISTS (SELECT FROM ticks AS t WHERE t.instrument_id = i.instrument_id)
            OR EXISTS (SELECT FROM candles_1m AS c WHERE c.instrument_id = i.instrument_id)
        )
    )
    ORDER BY u.contracts DESC, u.underlying, u.exchange
$$
