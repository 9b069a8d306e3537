-- Closed earlier today and offered again: it was not away.
UPDATE broker_instruments AS b SET valid_to = NULL FROM resolved_instruments AS r
WHERE b.broker = :broker AND b.valid_to = :today AND b.valid_from < :today
AND (r.token, r.broker_symbol, r.instrument_id) = (b.token, b.broker_symbol, b.instrument_id)
