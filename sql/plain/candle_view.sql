-- Stored candles up to the watermark, and the rest computed now.
CREATE OR REPLACE VIEW candles AS
SELECT instrument_id, time, open, high, low, close, volume, open_interest, trades
FROM candles_stored
WHERE time < (SELECT date_bin(width, watermark, TIMESTAMPTZ '2000-01-03 00:00:00+00') FROM candle_progress)
UNION ALL
SELECT instrument_id, time, open, high, low, close, volume, open_interest, trades
FROM (SELECT 1) AS computed
