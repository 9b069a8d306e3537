-- Stored candles up to the watermark, and the rest computed now.
CREATE OR REPLACE VIEW candles AS
SELECT instrument_id, time, open, high, low, close, volume, open_interest, trades
FROM candles_stored
WHERE time < (SELECT bucket(watermark) FROM candle_progress)
UNION ALL
SELECT instrument_id, time, open, high, low, close, volume, open_interest, trades
FROM (SELECT 1) AS computed
