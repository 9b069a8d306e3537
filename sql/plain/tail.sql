-- What the computed part of the view is computed from.
SELECT * FROM source
WHERE time >= (SELECT date_bin(width, watermark, TIMESTAMPTZ '2000-01-03 00:00:00+00') FROM candle_progress)
