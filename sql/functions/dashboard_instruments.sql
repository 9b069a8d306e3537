-- Instruments to choose from: what is subscribed, and after it, of what is listed, that in whose name there is the text that was
-- typed. As long as nothing was, Grafana leaves the name of its variable there, ${__searchFilter}. value is an instrument_id.
CREATE OR REPLACE FUNCTION dashboard_instruments(typed text) RETURNS TABLE (value text, label text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    WITH asked AS (SELECT CASE WHEN typed LIKE '${%' THEN '' ELSE btrim(typed, ' %') END AS text)
    SELECT i.instrument_id::text, i.exchange || ':' || i.symbol
    FROM asked
    CROSS JOIN instruments AS i
    LEFT JOIN subscriptions AS s ON s.instrument_id = i.instrument_id AND s.is_active
    WHERE (s.instrument_id IS NOT NULL OR (i.delisted_on IS NULL AND asked.text <> ''))
    AND i.exchange || ':' || i.symbol ILIKE '%' || replace(asked.text, ' ', '%') || '%'
    ORDER BY
        s.instrument_id IS NULL, array_position(ARRAY['INDEX', 'EQ', 'FUT'], i.kind), i.expiry, i.exchange, i.symbol
    LIMIT 10000
$$
