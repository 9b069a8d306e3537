UPDATE broker_instruments AS b SET valid_to = :today
WHERE b.broker = :broker AND b.valid_to IS NULL AND NOT EXISTS (
    SELECT FROM resolved_instruments AS r
    WHERE (r.token, r.broker_symbol, r.instrument_id) = (b.token, b.broker_symbol, b.instrument_id)
)
