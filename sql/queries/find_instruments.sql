-- Each name with the one instrument it means: EXCHANGE:SYMBOL, a symbol, a token, or id: and an instrument_id. A bare
-- symbol prefers the cash market.
SELECT DISTINCT ON (found.name) found.name, i.instrument_id, i.symbol
FROM (
    SELECT wanted.name, i.instrument_id
    FROM unnest(:names::text[]) AS wanted (name)
    JOIN instruments AS i ON upper(i.symbol) = upper(wanted.name)
    UNION ALL
    SELECT wanted.name, i.instrument_id
    FROM unnest(:names::text[]) AS wanted (name)
    JOIN instruments AS i
    ON upper(i.symbol) = upper(split_part(wanted.name, ':', 2)) AND i.exchange = upper(split_part(wanted.name, ':', 1))
    UNION ALL
    SELECT wanted.name, b.instrument_id
    FROM unnest(:names::text[]) AS wanted (name)
    JOIN broker_instruments AS b
    ON b.broker = :broker AND b.valid_to IS NULL
    AND b.token = CASE WHEN wanted.name ~ '^[0-9]{1,18}$' THEN wanted.name::bigint END
    UNION ALL
    SELECT wanted.name, CASE WHEN wanted.name ~ '^id:[0-9]{1,18}$' THEN substr(wanted.name, 4)::bigint END
    FROM unnest(:names::text[]) AS wanted (name)
) AS found
JOIN broker_instruments AS b
ON b.broker = :broker AND b.instrument_id = found.instrument_id AND b.valid_to IS NULL
JOIN instruments AS i ON i.instrument_id = found.instrument_id
ORDER BY found.name, array_position(ARRAY['NSE', 'NFO', 'BSE', 'BFO', 'CDS', 'BCD', 'MCX', 'NCO'], i.exchange)
