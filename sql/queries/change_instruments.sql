-- Not where a broker that goes before this one describes it.
UPDATE instruments AS i SET
    name = r.name, underlying = r.underlying, lot_size = r.lot_size, tick_size = r.tick_size
FROM resolved_instruments AS r
WHERE i.instrument_id = r.instrument_id
AND (i.name, i.underlying, i.lot_size, i.tick_size)
IS DISTINCT FROM (r.name, r.underlying, r.lot_size, r.tick_size)
AND NOT EXISTS (
    SELECT FROM broker_instruments AS b
    WHERE b.instrument_id = i.instrument_id AND b.valid_to IS NULL AND b.broker = ANY (:yields_to::text[])
)
