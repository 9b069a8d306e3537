-- Candles that cannot be: PostgreSQL holds NaN to be greater than every number, so it is named.
SELECT count(*) AS candles, count(DISTINCT instrument_id) AS instruments
FROM (
    SELECT * FROM candles_1m WHERE :name = 'candles_1m'
    UNION ALL
    SELECT * FROM candles_5m WHERE :name = 'candles_5m'
    UNION ALL
    SELECT * FROM candles_15m WHERE :name = 'candles_15m'
    UNION ALL
    SELECT * FROM candles_1d WHERE :name = 'candles_1d'
) AS candles
WHERE time >= :starts_at AND time < :ends_at
AND (
    (low <= least(open, close) AND high >= greatest(open, close)) IS NOT TRUE
    OR 'NaN' IN (open, high, low, close)
    OR num_nulls(open, high, low, close, trades) > 0
    OR volume < 0
    OR trades <= 0
)
