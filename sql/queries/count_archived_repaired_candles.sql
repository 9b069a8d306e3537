-- Of a day's one-minute candles as readers get them: how many there are of each instrument.
SELECT
    coalesce(i.exchange, 'UNKNOWN') AS exchange, wanted.instrument_id, count(*) AS rows,
    sum(m.volume)::text AS volume, sum(abs(m.close)) FILTER (WHERE abs(m.close) < 1e15) AS price
FROM (
    SELECT DISTINCT instrument_id FROM candles_1m WHERE time >= :start::timestamptz AND time < :ends::timestamptz
    UNION
    SELECT DISTINCT instrument_id FROM broker_candles
    WHERE minutes = 1 AND time >= :start::timestamptz AND time < :ends::timestamptz
) AS wanted
CROSS JOIN LATERAL candle_minutes(wanted.instrument_id, :start::timestamptz, :ends::timestamptz) AS m
LEFT JOIN instruments AS i USING (instrument_id)
GROUP BY 1, 2
ORDER BY exchange, instrument_id
