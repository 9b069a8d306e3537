-- Candles that late ticks would change, had the other ticks of their day not been dropped.
SELECT count(*) AS candles, count(DISTINCT (time AT TIME ZONE 'Asia/Kolkata')::date) AS days
FROM (
    SELECT DISTINCT instrument_id, time FROM candle_invalidations, candle_progress WHERE time < ticks_dropped_before
) AS late
