-- A day's one-minute candles of some instruments as the ticks made them.
SELECT time, instrument_id, open, high, low, close, volume, open_interest, trades
FROM candles_1m
WHERE instrument_id = ANY (current_setting('archive.instrument_ids')::bigint[])
AND time >= current_setting('archive.starts_at')::timestamptz AND time < current_setting('archive.ends_at')::timestamptz
ORDER BY instrument_id, time
