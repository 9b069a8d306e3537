SELECT broker, token, broker_symbol, valid_from, valid_to
FROM broker_instruments
WHERE instrument_id = :instrument_id AND (valid_to > valid_from OR valid_to IS NULL)
ORDER BY valid_from, broker
