-- Instruments of streams that live, of which no packet comes though their exchange is open.
SELECT s.stream, i.exchange || ':' || i.symbol AS name
FROM streams AS s
JOIN instruments AS i ON i.instrument_id = ANY (s.stale_instruments)
WHERE s.state = 'streaming' AND s.heartbeat_at > now() - INTERVAL '45 seconds'
ORDER BY s.stream, name
