-- What candles are computed from for the first time: everything between watermark and threshold.
SELECT * FROM source
WHERE time >= (SELECT date_bin(width, watermark, TIMESTAMPTZ '2000-01-03 00:00:00+00') FROM candle_progress)
AND time < (SELECT date_bin(width, threshold, TIMESTAMPTZ '2000-01-03 00:00:00+00') FROM candle_progress)
