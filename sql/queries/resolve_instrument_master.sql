-- Which contract each row of the master means: a token alone would not tell, for exchanges give it to others later.
CREATE TEMPORARY TABLE resolved_instruments ON COMMIT DROP AS
SELECT
    i.instrument_id, m.token, m.broker_symbol, m.symbol, coalesce(m.name, m.symbol) AS name, m.underlying,
    m.lot_size, m.tick_size
FROM instrument_master AS m
JOIN instruments AS i
ON (i.exchange, i.segment, i.exchange_token, i.kind) = (m.exchange, m.segment, m.exchange_token, m.kind)
AND i.expiry IS NOT DISTINCT FROM m.expiry AND i.strike IS NOT DISTINCT FROM m.strike
