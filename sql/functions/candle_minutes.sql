-- One-minute candles of one instrument as readers get them: ours, except where the broker's have replaced them or
-- where there are only the broker's.
--
-- state: repaired, the broker's replaced ours (candle_repairs has both); backfilled, only the broker has one; final, it
-- was compared with the broker's after the close and they agree; provisional otherwise. Brokers fill minutes without a trade
-- with a flat candle, of volume 0 or, of an index, at the close before, which is no candle. They do not tell the number of
-- trades.
CREATE OR REPLACE FUNCTION candle_minutes(wanted_instrument_id bigint, from_time timestamptz, to_time timestamptz)
RETURNS TABLE (
    "time" timestamptz, open double precision, high double precision, low double precision,
    close double precision, volume bigint, open_interest bigint, trades bigint, state text
) LANGUAGE sql STABLE AS $$
    WITH ours AS MATERIALIZED (
        SELECT time, open, high, low, close, volume, open_interest, trades FROM candles_1m
        WHERE instrument_id = wanted_instrument_id AND time >= from_time AND time < to_time
    ),
    latest AS (
        SELECT DISTINCT ON (time) time, open, high, low, close, volume, open_interest FROM broker_candles
        WHERE instrument_id = wanted_instrument_id AND minutes = 1 AND time >= from_time AND time < to_time
        ORDER BY time, fetched_at DESC
    ),
    theirs AS MATERIALIZED (
        SELECT *, least(open, high, low, close) = greatest(open, high, low, close)
            AND coalesce(volume = 0, close = lag(close) OVER (ORDER BY time), false) AS is_idle
        FROM latest
    ),
    repairs AS MATERIALIZED (
        SELECT time, open, high, low, close, volume, open_interest FROM candle_repairs
        WHERE instrument_id = wanted_instrument_id AND time >= from_time AND time < to_time
    ),
    reconciled AS MATERIALIZED (
        SELECT day, unconfirmed FROM reconciliations
        WHERE instrument_id = wanted_instrument_id
        AND day >= (from_time AT TIME ZONE 'Asia/Kolkata')::date AND day <= (to_time AT TIME ZONE 'Asia/Kolkata')::date
    )
    SELECT *, NULL::bigint, 'repaired' FROM repairs WHERE volume IS DISTINCT FROM 0 OR high > low
    UNION ALL
    SELECT
        ours.*,
        CASE
            WHEN reconciled.day IS NULL OR ours.time = ANY (reconciled.unconfirmed) THEN 'provisional'
            ELSE 'final'
        END
    FROM ours
    LEFT JOIN reconciled ON reconciled.day = (ours.time AT TIME ZONE 'Asia/Kolkata')::date
    WHERE NOT EXISTS (SELECT FROM repairs WHERE repairs.time = ours.time)
    UNION ALL
    SELECT time, open, high, low, close, volume, open_interest, NULL, 'backfilled' FROM theirs
    WHERE NOT is_idle
    AND NOT EXISTS (SELECT FROM ours WHERE ours.time = theirs.time)
    AND NOT EXISTS (SELECT FROM repairs WHERE repairs.time = theirs.time)
$$
