-- What a day's candle is: the 1-minute candles of one trading date of Asia/Kolkata.
SELECT
    instrument_id,
    time_bucket('1 day', time, 'Asia/Kolkata') AS time,
    first(open, time) AS open,
    max(high) AS high,
    min(low) AS low,
    last(close, time) AS close,
    sum(volume)::bigint AS volume,
    last(open_interest, time) FILTER (WHERE open_interest IS NOT NULL) AS open_interest,
    sum(trades)::bigint AS trades
FROM candles_1m
GROUP BY instrument_id, time_bucket('1 day', time, 'Asia/Kolkata')
