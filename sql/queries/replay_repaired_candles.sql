-- One-minute candles of a period as readers get them (candle_minutes.sql), of all instruments where :instrument_ids is NULL.
WITH period AS (
    SELECT :instrument_ids::bigint[] AS ids, :starts_at::timestamptz AS starts_at, :ends_at::timestamptz AS ends_at
),
present AS (
    SELECT instrument_id FROM candles_1m, period WHERE time >= starts_at AND time < ends_at
    UNION
    SELECT instrument_id FROM broker_candles, period WHERE minutes = 1 AND time >= starts_at AND time < ends_at
    UNION
    SELECT instrument_id FROM candle_repairs, period WHERE time >= starts_at AND time < ends_at
)
SELECT m.time, instrument_id, m.open, m.high, m.low, m.close, m.volume, m.open_interest, m.trades, m.state
FROM present
CROSS JOIN period
CROSS JOIN LATERAL candle_minutes(instrument_id, starts_at, ends_at) AS m
WHERE ids IS NULL OR instrument_id = ANY (ids)
ORDER BY instrument_id, m.time
