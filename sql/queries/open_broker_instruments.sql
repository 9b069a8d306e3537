-- Returns how many of the tokens that are new here have meant another contract before.
WITH opened AS (
    INSERT INTO broker_instruments (
        broker, token, broker_symbol, instrument_id, valid_from, lot_size, tick_size
    )
    SELECT :broker, r.token, r.broker_symbol, r.instrument_id, :today, r.lot_size, r.tick_size
    FROM resolved_instruments AS r
    WHERE NOT EXISTS (
        SELECT FROM broker_instruments AS b
        WHERE (b.broker, b.token, b.broker_symbol, b.instrument_id)
        = (:broker, r.token, r.broker_symbol, r.instrument_id) AND b.valid_to IS NULL
    )
    RETURNING token, instrument_id
)
SELECT count(*) FROM opened AS o
WHERE EXISTS (
    SELECT FROM broker_instruments AS b
    WHERE b.broker = :broker AND b.token = o.token AND b.instrument_id <> o.instrument_id
)
