-- A candle that is the same as before is not written again.
INSERT INTO broker_candles AS b
SELECT * FROM fetched_candles
ON CONFLICT (instrument_id, minutes, time, broker) DO UPDATE SET
    open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
    volume = excluded.volume, open_interest = excluded.open_interest, fetched_at = excluded.fetched_at
WHERE (b.open, b.high, b.low, b.close, b.volume, b.open_interest)
IS DISTINCT FROM (excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume, excluded.open_interest)
