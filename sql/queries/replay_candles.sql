-- One-minute candles of a period as the ticks made them, of all instruments where :instrument_ids is NULL.
SELECT time, instrument_id, open, high, low, close, volume, open_interest, trades
FROM candles_1m
WHERE (:instrument_ids::bigint[] IS NULL OR instrument_id = ANY (:instrument_ids::bigint[]))
AND time >= :starts_at::timestamptz AND time < :ends_at::timestamptz
ORDER BY instrument_id, time
