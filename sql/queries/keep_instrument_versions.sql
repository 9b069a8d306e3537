-- What is about to be superseded, unless it holds since today only: a day has one version, the last.
INSERT INTO instrument_history (
    instrument_id, valid_from, valid_to, symbol, name, underlying, lot_size, tick_size
)
SELECT
    i.instrument_id, since.valid_from, :today, i.symbol, i.name, i.underlying, i.lot_size, i.tick_size
FROM resolved_instruments AS r
JOIN instruments AS i ON i.instrument_id = r.instrument_id
CROSS JOIN LATERAL (
    SELECT coalesce(max(h.valid_to), i.listed_on) AS valid_from
    FROM instrument_history AS h WHERE h.instrument_id = i.instrument_id
) AS since
WHERE (i.symbol, i.name, i.underlying, i.lot_size, i.tick_size)
IS DISTINCT FROM (r.symbol, r.name, r.underlying, r.lot_size, r.tick_size)
AND since.valid_from < :today
AND NOT EXISTS (
    SELECT FROM broker_instruments AS b
    WHERE b.instrument_id = i.instrument_id AND b.valid_to IS NULL AND b.broker = ANY (:yields_to::text[])
)
