-- What candles are computed again from: everything in the intervals that candles_changed touches.
SELECT source.* FROM (
    SELECT DISTINCT
        instrument_id,
        bucket(time) AS starts_at
    FROM candles_changed
) AS changed
JOIN source ON source.instrument_id = changed.instrument_id
AND source.time >= changed.starts_at AND source.time < changed.starts_at + width
WHERE changed.starts_at < (SELECT bucket(threshold) FROM candle_progress)
