-- Of how many instruments there is a candle, over time: of one minute over up to half an hour, of five up to two hours,
-- and then of fifteen: of 1,000 instruments no more are counted in time.
CREATE OR REPLACE FUNCTION dashboard_candle_counts(from_time timestamptz, to_time timestamptz)
RETURNS TABLE ("time" timestamptz, instruments bigint) LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT SET jit = off AS $$
    SELECT each.time, count(*)
    FROM (
        SELECT m.time FROM candles_1m AS m
        WHERE to_time - from_time <= INTERVAL '30 minutes' AND m.time >= from_time AND m.time <= to_time
        UNION ALL
        SELECT m.time FROM candles_5m AS m
        WHERE to_time - from_time > INTERVAL '30 minutes' AND to_time - from_time <= INTERVAL '2 hours'
        AND m.time >= from_time AND m.time <= to_time
        UNION ALL
        SELECT m.time FROM candles_15m AS m
        WHERE to_time - from_time > INTERVAL '2 hours' AND m.time >= from_time AND m.time <= to_time
    ) AS each
    GROUP BY each.time
    ORDER BY each.time
$$;
