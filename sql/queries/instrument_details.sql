-- One instrument by its id, or by the name that find_instruments understands; NULL for what is not given. A token that
-- no longer means anything, or an instrument that is not offered any more, is found by its id alone.
SELECT
    i.instrument_id, i.exchange, i.segment, i.symbol, i.name, i.kind, i.underlying, i.expiry, i.strike,
    i.lot_size, i.tick_size, b.token, coalesce(s.is_active, false) AS is_subscribed, i.listed_on, i.delisted_on,
    EXISTS (
        SELECT FROM instruments AS d
        WHERE d.underlying = i.symbol AND d.exchange IN ('NFO', 'BFO') AND d.delisted_on IS NULL
    ) AS has_derivatives
FROM instruments AS i
LEFT JOIN broker_instruments AS b
ON b.instrument_id = i.instrument_id AND b.broker = :broker::text AND b.valid_to IS NULL
LEFT JOIN subscriptions AS s ON s.instrument_id = i.instrument_id
WHERE i.instrument_id = :instrument_id::bigint
