-- What a stream is to carry: one row for each broker that offers the instrument. Of newcomers, once they have been placed;
-- has_newcomers tells whether there are some, on whichever stream.
WITH places AS MATERIALIZED (
    SELECT * FROM find_places(:brokers::text[], :per_stream::bigint)
)
SELECT
    b.broker, b.token, p.mode, p.instrument_id, i.exchange, i.kind, i.underlying,
    EXISTS (
        SELECT FROM instruments AS d
        WHERE d.underlying = i.symbol AND d.exchange IN ('NFO', 'BFO') AND d.delisted_on IS NULL
    ) AS has_derivatives,
    EXISTS (SELECT FROM places WHERE NOT is_kept) AS has_newcomers
FROM places AS p
JOIN instruments AS i ON i.instrument_id = p.instrument_id
JOIN broker_instruments AS b
ON b.instrument_id = p.instrument_id AND b.broker = ANY (:brokers) AND b.valid_to IS NULL
WHERE p.is_kept AND (:brokers::text[])[1] || '-' || p.number = :stream
