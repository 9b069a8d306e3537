-- What is wanted of some instruments, in the order they are named in.
SELECT
    i.instrument_id, b.token, i.exchange, i.segment, i.symbol, i.name, i.kind, i.underlying, i.expiry,
    s.mode, coalesce(s.is_active, false) AS is_active, s.since
FROM unnest(:instrument_ids::bigint[]) WITH ORDINALITY AS wanted (instrument_id, place)
JOIN instruments AS i ON i.instrument_id = wanted.instrument_id
LEFT JOIN subscriptions AS s ON s.instrument_id = i.instrument_id
LEFT JOIN broker_instruments AS b
ON b.instrument_id = i.instrument_id AND b.broker = :broker::text AND b.valid_to IS NULL
ORDER BY wanted.place
