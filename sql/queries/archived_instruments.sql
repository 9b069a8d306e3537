-- What the instruments in an archived day are, and what brokers called them that day.
SELECT
    i.instrument_id, i.exchange, i.segment, i.exchange_token, i.symbol, i.name, i.kind, i.underlying, i.expiry,
    i.strike, i.lot_size, i.tick_size,
    tokens.tokens
FROM instruments AS i
CROSS JOIN (
    SELECT (current_setting('archive.starts_at')::timestamptz AT TIME ZONE 'Asia/Kolkata')::date AS day
) AS archived
LEFT JOIN LATERAL (
    SELECT string_agg(b.broker || ' ' || b.token, ',' ORDER BY b.broker, b.token) AS tokens
    FROM broker_instruments AS b
    WHERE b.instrument_id = i.instrument_id AND b.valid_from <= day AND (b.valid_to > day OR b.valid_to IS NULL)
) AS tokens ON true
WHERE i.instrument_id = ANY (current_setting('archive.instrument_ids')::bigint[])
ORDER BY i.instrument_id
