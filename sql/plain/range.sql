-- What candles are computed from for the first time: everything between watermark and threshold.
SELECT * FROM source
WHERE time >= (SELECT bucket(watermark) FROM candle_progress)
AND time < (SELECT bucket(threshold) FROM candle_progress)
