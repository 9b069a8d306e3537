-- What a name has meant at a broker, and from when to when: an instrument as it was then, and its token.
-- A name is a symbol, with or without its exchange, a token or the broker's own symbol.
WITH named AS (
    SELECT instrument_id FROM instruments WHERE upper(symbol) = :symbol::text
    UNION
    SELECT instrument_id FROM instrument_history WHERE upper(symbol) = :symbol
    UNION
    SELECT instrument_id FROM broker_instruments WHERE upper(broker_symbol) = :name::text
    UNION
    SELECT instrument_id FROM broker_instruments WHERE broker = :broker::text AND token = :token::bigint
),
versions AS (
    SELECT instrument_id, valid_from, valid_to, symbol, name, underlying, lot_size, tick_size
    FROM instrument_history
    WHERE instrument_id IN (SELECT instrument_id FROM named)
    UNION ALL
    SELECT
        i.instrument_id,
        coalesce((SELECT max(valid_to) FROM instrument_history WHERE instrument_id = i.instrument_id), i.listed_on),
        NULL,
        i.symbol, i.name, i.underlying, i.lot_size, i.tick_size
    FROM instruments AS i
    WHERE i.instrument_id IN (SELECT instrument_id FROM named)
)
SELECT
    i.instrument_id, i.exchange, i.segment, i.exchange_token, v.symbol, v.name, i.kind, v.underlying, i.expiry,
    i.strike, v.lot_size, v.tick_size, i.listed_on, i.delisted_on, b.token, b.broker_symbol,
    greatest(v.valid_from, b.valid_from) AS valid_from,
    least(v.valid_to, b.valid_to) AS valid_to
FROM versions AS v
JOIN instruments AS i ON i.instrument_id = v.instrument_id
JOIN broker_instruments AS b
ON b.instrument_id = v.instrument_id AND b.broker = :broker
AND (b.valid_to > v.valid_from OR b.valid_to IS NULL) AND (v.valid_to > b.valid_from OR v.valid_to IS NULL)
AND (b.valid_to > b.valid_from OR b.valid_to IS NULL)
WHERE (upper(v.symbol) = :symbol AND (i.exchange = :exchange::text OR :exchange IS NULL))
OR b.token = :token OR upper(b.broker_symbol) = :name
ORDER BY
    valid_from, array_position(ARRAY['NSE', 'NFO', 'BSE', 'BFO', 'CDS', 'BCD', 'MCX', 'NCO'], i.exchange),
    i.instrument_id
