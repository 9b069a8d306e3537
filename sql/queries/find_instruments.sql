-- Each name with the one instrument it means; a bare symbol prefers the cash market.
SELECT DISTINCT ON (wanted.name) wanted.name, i.instrument_id, i.symbol
FROM unnest(:names::text[]) AS wanted (name)
JOIN broker_instruments AS b ON b.broker = :broker AND b.valid_to IS NULL
JOIN instruments AS i ON i.instrument_id = b.instrument_id
WHERE upper(wanted.name) IN (upper(i.symbol), i.exchange || ':' || upper(i.symbol), b.token::text)
ORDER BY wanted.name, array_position(ARRAY['NSE', 'NFO', 'BSE', 'BFO', 'CDS', 'BCD', 'MCX', 'NCO'], i.exchange)
