UPDATE instruments AS i SET
    name = coalesce(m.name, m.symbol), underlying = m.underlying, lot_size = m.lot_size, tick_size = m.tick_size
FROM instrument_master AS m
WHERE (i.exchange, i.segment, i.exchange_token, i.kind) = (m.exchange, m.segment, m.exchange_token, m.kind)
AND i.expiry IS NOT DISTINCT FROM m.expiry AND i.strike IS NOT DISTINCT FROM m.strike
AND (i.name, i.underlying, i.lot_size, i.tick_size)
IS DISTINCT FROM (coalesce(m.name, m.symbol), m.underlying, m.lot_size, m.tick_size)
