CREATE TEMPORARY TABLE resolved_instruments ON COMMIT DROP AS
SELECT m.token, m.broker_symbol, i.instrument_id
FROM instrument_master AS m
JOIN instruments AS i
ON (i.exchange, i.segment, i.exchange_token, i.kind) = (m.exchange, m.segment, m.exchange_token, m.kind)
AND i.expiry IS NOT DISTINCT FROM m.expiry AND i.strike IS NOT DISTINCT FROM m.strike
