-- How far candles are stored; NULL before the first refresh.
SELECT
    NULLIF(watermark, '-infinity') AS watermark,
    refreshed_at,
    EXISTS (SELECT FROM candles_1m WHERE time < watermark) AS has_candles
FROM candle_progress
