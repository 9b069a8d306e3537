-- What was not subscribed for a while today is missing from its last tick until now, when a stream is about to take it again: its
-- next packet tells the volume of all that time. One gap for those whose last ticks are of the same minute, from the earliest on.
-- Before place_newcomers, in its transaction.
INSERT INTO gaps (stream, broker, started_at, ended_at, cause, instruments)
SELECT
    (:brokers::text[])[1] || '-' || p.number, (:brokers::text[])[1], min(last.received_at), now(), 'not subscribed',
    array_agg(p.instrument_id ORDER BY p.instrument_id)
FROM find_places(:brokers::text[], :per_stream::bigint) AS p
JOIN subscriptions AS s ON s.instrument_id = p.instrument_id
JOIN LATERAL (
    SELECT t.received_at FROM ticks AS t
    WHERE t.instrument_id = p.instrument_id
    AND t.time >= date_trunc('day', now() AT TIME ZONE 'Asia/Kolkata') AT TIME ZONE 'Asia/Kolkata'
    ORDER BY t.time DESC LIMIT 1
) AS last ON last.received_at < s.since
WHERE p.number IS NOT NULL AND NOT p.is_kept
GROUP BY p.number, date_trunc('minute', last.received_at)
