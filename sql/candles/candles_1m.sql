-- What a one-minute candle is. Trades alone form its prices; see design notes in README.md.
SELECT
    instrument_id,
    time_bucket('1 minute', time) AS time,
    first(last_price, seq) FILTER (WHERE is_trade) AS open,
    max(high) FILTER (WHERE is_trade) AS high,
    min(low) FILTER (WHERE is_trade) AS low,
    last(last_price, seq) FILTER (WHERE is_trade) AS close,
    sum(volume)::bigint AS volume,
    last(open_interest, seq) FILTER (WHERE open_interest IS NOT NULL) AS open_interest,
    count(*) FILTER (WHERE is_trade) AS trades
FROM ticks
GROUP BY instrument_id, time_bucket('1 minute', time)
HAVING count(*) FILTER (WHERE is_trade) > 0
