INSERT INTO broker_candles (instrument_id, minutes, time, broker, open, high, low, close, volume, open_interest, fetched_at)
SELECT instrument_id, 1440, %(midnight)s::timestamptz - INTERVAL '1 day', 'simulator', 100, 110, 90, 100, 1000, 500, now()
FROM instruments
