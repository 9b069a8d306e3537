SELECT i.exchange || ':' || i.symbol
FROM broker_instruments AS b
JOIN instruments AS i ON i.instrument_id = b.instrument_id
WHERE b.broker = :broker AND b.valid_to IS NULL
AND i.symbol ILIKE '%' || right(:name::text, -strpos(:name::text, ':')) || '%'
ORDER BY length(i.symbol), i.symbol
LIMIT 5
