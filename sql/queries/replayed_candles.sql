SELECT i.symbol, c.time, c.open, c.high, c.low, c.close, c.volume
FROM candles_1m AS c
JOIN instruments AS i ON i.instrument_id = c.instrument_id
ORDER BY i.symbol, c.time
