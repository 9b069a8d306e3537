-- What a 5-minute candle is: the 1-minute candles in it.
SELECT
    instrument_id,
    time_bucket('5 minutes', time) AS time,
    first(open, time) AS open,
    max(high) AS high,
    min(low) AS low,
    last(close, time) AS close,
    sum(volume)::bigint AS volume,
    last(open_interest, time) FILTER (WHERE open_interest IS NOT NULL) AS open_interest,
    sum(trades)::bigint AS trades
FROM candles_1m
GROUP BY instrument_id, time_bucket('5 minutes', time)
