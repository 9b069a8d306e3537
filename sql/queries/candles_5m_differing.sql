-- How many 5-minute candles are not what their 1-minute candles make.
SELECT
    count(*) AS compared,
    count(*) FILTER (WHERE stored IS DISTINCT FROM made) AS differing
FROM (
    SELECT
        instrument_id,
        date_bin('5 minutes', time, TIMESTAMPTZ '2000-01-03 00:00:00+00') AS time,
        ROW(
            (array_agg(open ORDER BY time))[1],
            max(high),
            min(low),
            (array_agg(close ORDER BY time DESC))[1],
            sum(volume)::bigint,
            (array_agg(open_interest ORDER BY time DESC) FILTER (WHERE open_interest IS NOT NULL))[1],
            sum(trades)::bigint
        ) AS made
    FROM candles_1m
    WHERE time >= :starts_at AND time < :ends_at
    GROUP BY 1, 2
) AS narrow
FULL JOIN (
    SELECT
        instrument_id,
        time,
        ROW(open, high, low, close, volume, open_interest, trades) AS stored
    FROM candles_5m
    WHERE time >= :starts_at AND time < :ends_at
) AS wide USING (instrument_id, time)
