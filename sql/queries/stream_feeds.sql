-- Which brokers each stream listens to, the preferred one first, and what their connections do.
SELECT
    s.stream, f.place::bigint AS place, f.feed ->> 'broker' AS broker, f.feed ->> 'state' AS state,
    f.feed ->> 'detail' AS detail, (f.feed ->> 'frames')::bigint AS frames, (f.feed ->> 'reconnects')::bigint AS reconnects,
    extract(epoch FROM now() - s.heartbeat_at)::double precision AS heartbeat_age
FROM streams AS s
CROSS JOIN LATERAL jsonb_array_elements(s.feeds) WITH ORDINALITY AS f (feed, place)
ORDER BY s.stream, f.place
