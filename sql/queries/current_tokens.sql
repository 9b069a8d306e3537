-- What a broker calls instruments now.
SELECT b.instrument_id, b.token, i.exchange, i.symbol
FROM broker_instruments AS b
JOIN instruments AS i ON i.instrument_id = b.instrument_id
WHERE b.broker = :broker AND b.valid_to IS NULL AND b.instrument_id = ANY (:instrument_ids::bigint[])
ORDER BY i.exchange, i.symbol
