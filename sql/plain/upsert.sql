INSERT INTO candles_stored (instrument_id, time, open, high, low, close, volume, open_interest, trades)
SELECT instrument_id, time, open, high, low, close, volume, open_interest, trades
FROM (SELECT 1) AS computed
ON CONFLICT (instrument_id, time) DO UPDATE SET
    open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
    volume = excluded.volume, open_interest = excluded.open_interest, trades = excluded.trades
