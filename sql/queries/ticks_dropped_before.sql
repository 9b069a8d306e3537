SELECT NULLIF(ticks_dropped_before, '-infinity') FROM candle_progress
