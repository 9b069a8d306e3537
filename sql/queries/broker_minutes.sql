-- The broker's one-minute candles of some instruments.
SELECT instrument_id, time, open, high, low, close, volume, open_interest, fetched_at
FROM broker_candles
WHERE instrument_id = ANY (:instrument_ids::bigint[]) AND minutes = 1 AND broker = :broker
AND time >= :starts_at AND time < :ends_at
