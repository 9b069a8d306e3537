-- The newest tick of an instrument, of the last days.
SELECT time, last_price, day_volume, open_interest, bid_price, ask_price, received_at
FROM ticks
WHERE instrument_id = :instrument_id::bigint AND time > now() - INTERVAL '5 days'
ORDER BY time DESC, seq DESC
LIMIT 1
