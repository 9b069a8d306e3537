-- Newcomers join at the end, so that the others stay on the connection they are on.
SELECT token, mode, instrument_id, exchange, kind, underlying, has_derivatives FROM (
    SELECT
        b.token, s.mode, s.instrument_id, i.exchange, i.kind, i.underlying,
        EXISTS (
            SELECT FROM instruments AS d
            WHERE d.underlying = i.symbol AND d.exchange IN ('NFO', 'BFO') AND d.delisted_on IS NULL
        ) AS has_derivatives,
        b.broker || '-' || (row_number() OVER (ORDER BY s.since, s.instrument_id) - 1) / :per_stream::bigint AS stream
    FROM subscriptions AS s
    JOIN broker_instruments AS b
    ON b.instrument_id = s.instrument_id AND b.broker = :broker AND b.valid_to IS NULL
    JOIN instruments AS i ON i.instrument_id = s.instrument_id
    WHERE s.is_active
) AS placed
WHERE stream = :stream
