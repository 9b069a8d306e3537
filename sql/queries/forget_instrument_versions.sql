-- What was superseded today and holds again was not superseded.
DELETE FROM instrument_history AS h USING instruments AS i
WHERE h.instrument_id = i.instrument_id AND h.valid_to = :today
AND (h.symbol, h.name, h.underlying, h.lot_size, h.tick_size)
IS NOT DISTINCT FROM (i.symbol, i.name, i.underlying, i.lot_size, i.tick_size)
