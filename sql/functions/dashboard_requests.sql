-- Requests for candles from one time up to another, for each purpose and outcome and for as many milliseconds.
CREATE OR REPLACE FUNCTION dashboard_requests(from_time timestamptz, to_time timestamptz, milliseconds bigint)
RETURNS TABLE ("time" timestamptz, broker text, purpose text, outcome text, requests bigint, candles bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT
        date_bin(
            greatest(milliseconds, 1000) * INTERVAL '1 millisecond', b.asked_at, TIMESTAMPTZ '2000-01-01 00:00:00Z'
        ) AS begins,
        b.broker, b.purpose, b.outcome, count(*), sum(b.candles)::bigint
    FROM backfills AS b
    WHERE b.asked_at >= from_time AND b.asked_at <= to_time
    GROUP BY begins, b.broker, b.purpose, b.outcome
    ORDER BY begins, b.broker, b.purpose, b.outcome
$$;
