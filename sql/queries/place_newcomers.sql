-- Puts each new subscription on a stream, where it stays, and takes off it what is not wanted any more; see find_places.
UPDATE subscriptions AS s SET stream_number = p.number
FROM find_places(:brokers::text[], :per_stream::bigint) AS p
WHERE p.instrument_id = s.instrument_id AND NOT p.is_kept
