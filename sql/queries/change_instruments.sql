UPDATE instruments AS i SET
    name = r.name, underlying = r.underlying, lot_size = r.lot_size, tick_size = r.tick_size
FROM resolved_instruments AS r
WHERE i.instrument_id = r.instrument_id
AND (i.name, i.underlying, i.lot_size, i.tick_size)
IS DISTINCT FROM (r.name, r.underlying, r.lot_size, r.tick_size)
