-- Candles whose ticks were dropped can no longer be computed; their invalidations stay on record.
WITH taken AS (
    DELETE FROM candle_invalidations USING candle_progress
    WHERE time >= ticks_dropped_before
    RETURNING candle_invalidations.instrument_id, candle_invalidations.time
)
INSERT INTO candles_changed SELECT DISTINCT instrument_id, time FROM taken
