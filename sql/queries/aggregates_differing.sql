-- How many candles of one length are not what the shorter ones they are of make.
WITH parts AS (
    SELECT date_bin('5 minutes', time, TIMESTAMPTZ '2000-01-03 00:00:00+00') AS begins_at, candles_1m.*
    FROM candles_1m WHERE :name = 'candles_5m'
    UNION ALL
    SELECT date_bin('15 minutes', time, TIMESTAMPTZ '2000-01-03 00:00:00+00') AS begins_at, candles_5m.*
    FROM candles_5m WHERE :name = 'candles_15m'
    UNION ALL
    SELECT date_trunc('day', time, 'Asia/Kolkata') AS begins_at, candles_1m.*
    FROM candles_1m WHERE :name = 'candles_1d'
),
whole AS (
    SELECT * FROM candles_5m WHERE :name = 'candles_5m'
    UNION ALL
    SELECT * FROM candles_15m WHERE :name = 'candles_15m'
    UNION ALL
    SELECT * FROM candles_1d WHERE :name = 'candles_1d'
)
SELECT
    count(*) AS compared,
    count(*) FILTER (WHERE stored IS DISTINCT FROM made) AS differing
FROM (
    SELECT
        instrument_id,
        begins_at AS time,
        ROW(
            (array_agg(open ORDER BY time))[1],
            max(high),
            min(low),
            (array_agg(close ORDER BY time DESC))[1],
            sum(volume)::bigint,
            (array_agg(open_interest ORDER BY time DESC) FILTER (WHERE open_interest IS NOT NULL))[1],
            sum(trades)::bigint
        ) AS made
    FROM parts
    WHERE time >= :starts_at AND time < :ends_at
    GROUP BY instrument_id, begins_at
) AS narrow
FULL JOIN (
    SELECT
        instrument_id,
        time,
        ROW(open, high, low, close, volume, open_interest, trades) AS stored
    FROM whole
    WHERE time >= :starts_at AND time < :ends_at
) AS wide USING (instrument_id, time)
