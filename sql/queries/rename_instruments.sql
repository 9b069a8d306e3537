UPDATE instruments AS i SET symbol = r.symbol FROM resolved_instruments AS r
WHERE i.instrument_id = r.instrument_id AND i.symbol <> r.symbol
