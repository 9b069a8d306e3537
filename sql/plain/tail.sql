-- What the computed part of the view is computed from.
SELECT * FROM source
WHERE time >= (SELECT bucket(watermark) FROM candle_progress)
