SELECT b.token, b.instrument_id, i.kind = 'INDEX' AS is_index, b.valid_from, b.valid_to
FROM broker_instruments AS b
JOIN instruments AS i ON i.instrument_id = b.instrument_id
WHERE b.broker = :broker
