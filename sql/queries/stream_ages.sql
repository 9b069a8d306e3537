-- How long ago each stream gave a sign of life, and how old the newest frame is that it stored.
SELECT
    s.stream,
    s.run_id,
    s.state,
    s.process,
    p.arrivals,
    extract(epoch FROM now() - s.heartbeat_at)::double precision AS heartbeat_age,
    extract(epoch FROM now() - p.last_received_at)::double precision AS received_age
FROM streams AS s
LEFT JOIN journal_positions AS p ON p.stream = s.stream
ORDER BY s.stream
