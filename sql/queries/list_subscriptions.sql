-- A page of what is subscribed, after one of them; with those that were ended if they are asked for.
SELECT
    i.instrument_id, b.token, i.exchange, i.segment, i.symbol, i.name, i.kind, i.underlying, i.expiry,
    s.mode, s.is_active, s.since
FROM subscriptions AS s
JOIN instruments AS i ON i.instrument_id = s.instrument_id
LEFT JOIN broker_instruments AS b
ON b.instrument_id = s.instrument_id AND b.broker = :broker::text AND b.valid_to IS NULL
WHERE s.instrument_id > :after::bigint AND (s.is_active OR :with_ended::boolean)
ORDER BY s.instrument_id
LIMIT :rows::bigint
