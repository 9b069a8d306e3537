UPDATE instruments AS i SET symbol = m.symbol FROM instrument_master AS m
WHERE (i.exchange, i.segment, i.exchange_token, i.kind) = (m.exchange, m.segment, m.exchange_token, m.kind)
AND i.expiry IS NOT DISTINCT FROM m.expiry AND i.strike IS NOT DISTINCT FROM m.strike
AND i.symbol <> m.symbol
