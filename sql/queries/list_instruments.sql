-- A page of the instruments, after one of them. NULL: any. Those no broker offers now only if they are asked for; the
-- token is that of the first of the brokers which offers it.
SELECT
    i.instrument_id, i.exchange, i.segment, i.symbol, i.name, i.kind, i.underlying, i.expiry, i.strike,
    i.lot_size, i.tick_size, b.token, coalesce(s.is_active, false) AS is_subscribed
FROM instruments AS i
LEFT JOIN LATERAL (
    SELECT token FROM broker_instruments
    WHERE instrument_id = i.instrument_id AND broker = ANY (:brokers::text[]) AND valid_to IS NULL
    ORDER BY array_position(:brokers, broker) LIMIT 1
) AS b ON true
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
