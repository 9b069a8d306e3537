-- What an instrument was called and how it was traded, and from when to when; valid_to NULL: still.
SELECT valid_from, valid_to, symbol, name, underlying, lot_size, tick_size
FROM instrument_history
WHERE instrument_id = :instrument_id
UNION ALL
SELECT
    coalesce((SELECT max(valid_to) FROM instrument_history WHERE instrument_id = i.instrument_id), i.listed_on),
    NULL,
    i.symbol, i.name, i.underlying, i.lot_size, i.tick_size
FROM instruments AS i
WHERE i.instrument_id = :instrument_id
ORDER BY valid_from
