-- One row for each connection that the active subscriptions need.
SELECT stream, count(*) AS instruments, array_agg(DISTINCT exchange) AS exchanges FROM (
    SELECT
        i.exchange,
        b.broker || '-' || (row_number() OVER (ORDER BY s.since, s.instrument_id) - 1) / :per_stream::bigint AS stream
    FROM subscriptions AS s
    JOIN broker_instruments AS b
    ON b.instrument_id = s.instrument_id AND b.broker = :broker AND b.valid_to IS NULL
    JOIN instruments AS i ON i.instrument_id = s.instrument_id
    WHERE s.is_active
) AS placed
GROUP BY stream
ORDER BY stream
