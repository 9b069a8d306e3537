-- What a refresh may touch: it never reaches to where ticks were dropped, or it would empty the candles there.
SELECT NULLIF(ticks_dropped_before, '-infinity') AS dropped_before, NULLIF(threshold, '-infinity') AS ends_at FROM candle_progress
