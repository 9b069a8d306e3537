-- Candidates for a misspelt name: the closest of them are chosen outside.
SELECT i.exchange || ':' || i.symbol
FROM broker_instruments AS b
JOIN instruments AS i ON i.instrument_id = b.instrument_id
WHERE b.broker = :broker AND b.valid_to IS NULL
AND left(i.symbol, 2) = upper(left(substr(:name::text, strpos(:name::text, ':') + 1), 2))
ORDER BY length(i.symbol), i.symbol
LIMIT 5000
