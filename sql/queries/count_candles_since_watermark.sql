SELECT count(*) FROM candles_1m, candle_progress WHERE time >= watermark AND time < threshold
