-- One row for each stream that the active subscriptions need: a connection to each of the brokers, the preferred one first.
SELECT p.stream, count(*) AS instruments, array_agg(DISTINCT i.exchange) AS exchanges
FROM placed_subscriptions(:brokers::text[], :per_stream::bigint) AS p
JOIN instruments AS i ON i.instrument_id = p.instrument_id
GROUP BY p.stream
ORDER BY p.stream
