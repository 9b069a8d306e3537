-- Of a day's one-minute candles as the ticks made them: how many there are of each instrument.
SELECT coalesce(i.exchange, 'UNKNOWN') AS exchange, counted.*
FROM (
    SELECT instrument_id, count(*) AS rows, sum(volume)::text AS volume, sum(abs(close)) FILTER (WHERE abs(close) < 1e15) AS price
    FROM candles_1m WHERE time >= :start::timestamptz AND time < :ends::timestamptz
    GROUP BY instrument_id
) AS counted
LEFT JOIN instruments AS i USING (instrument_id)
ORDER BY exchange, instrument_id
