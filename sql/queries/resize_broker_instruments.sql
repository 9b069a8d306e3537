UPDATE broker_instruments AS b SET lot_size = r.lot_size, tick_size = r.tick_size
FROM resolved_instruments AS r
WHERE b.broker = :broker AND b.valid_to IS NULL AND b.instrument_id = r.instrument_id
AND (b.lot_size, b.tick_size) IS DISTINCT FROM (r.lot_size, r.tick_size)
