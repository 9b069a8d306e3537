-- A page of the instruments, after one of them. NULL: any. Those a broker does not offer now only if they are asked for.
SELECT
    i.instrument_id, i.exchange, i.segment, i.symbol, i.name, i.kind, i.underlying, i.expiry, i.strike,
    i.lot_size, i.tick_size, b.token, coalesce(s.is_active, false) AS is_subscribed
FROM instruments AS i
LEFT JOIN broker_instruments AS b
ON b.instrument_id = i.instrument_id AND b.broker = :broker::text AND b.valid_to IS NULL
LEFT JOIN subscriptions AS s ON s.instrument_id = i.instrument_id
WHERE i.instrument_id > :after::bigint
AND (i.exchange = :exchange::text OR :exchange IS NULL)
AND (i.segment = :segment::text OR :segment IS NULL)
AND (i.kind = :kind::text OR :kind IS NULL)
AND (i.underlying = :underlying::text OR :underlying IS NULL)
AND (i.expiry = :expiry::date OR :expiry IS NULL)
AND (b.token IS NOT NULL OR :with_expired::boolean)
ORDER BY i.instrument_id
LIMIT :rows::bigint
