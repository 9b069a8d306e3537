-- What there is of one candle length.
SELECT count(*) AS candles, count(DISTINCT instrument_id) AS instruments, min(time) AS first, max(time) AS last
FROM (
    SELECT instrument_id, time FROM candles_1m WHERE :name = 'candles_1m'
    UNION ALL
    SELECT instrument_id, time FROM candles_5m WHERE :name = 'candles_5m'
    UNION ALL
    SELECT instrument_id, time FROM candles_15m WHERE :name = 'candles_15m'
    UNION ALL
    SELECT instrument_id, time FROM candles_1d WHERE :name = 'candles_1d'
) AS candles
WHERE time >= :starts_at AND time < :ends_at
