-- What a 15-minute candle is: the 5-minute candles in it.
SELECT
    instrument_id,
    time_bucket('15 minutes', time) AS time,
    first(open, time) AS open,
    max(high) AS high,
    min(low) AS low,
    last(close, time) AS close,
    sum(volume)::bigint AS volume,
    last(open_interest, time) FILTER (WHERE open_interest IS NOT NULL) AS open_interest,
    sum(trades)::bigint AS trades
FROM candles_5m
GROUP BY instrument_id, time_bucket('15 minutes', time)
