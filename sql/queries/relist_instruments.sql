UPDATE instruments AS i SET delisted_on = NULL FROM resolved_instruments AS r
WHERE i.instrument_id = r.instrument_id AND i.delisted_on IS NOT NULL
