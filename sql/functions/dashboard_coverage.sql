-- How many one-minute candles there are of what is subscribed, and how many there would be had each instrument traded in
-- each minute of a day's session that is over: for each exchange. Illiquid instruments trade less, so the share is never
-- all; the check candles_are_complete knows what is missing. An exchange of which the calendar says nothing counts from its
-- first candle of the day to its last.
CREATE OR REPLACE FUNCTION dashboard_coverage(of_day date) RETURNS TABLE (
    exchange text, instruments bigint, with_candles bigint, session_minutes integer, candles bigint, share double precision
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT SET jit = off AS $$
    WITH hours AS (
        SELECT
            of_day::timestamp AT TIME ZONE 'Asia/Kolkata' AS starts_at,
            (of_day + 1)::timestamp AT TIME ZONE 'Asia/Kolkata' AS ends_at
    ),
    of_exchange AS (
        SELECT
            i.exchange, count(*) AS instruments, count(p.first) AS with_candles, sum(p.candles)::bigint AS candles,
            min(p.first) AS first, max(p.last) AS last
        FROM subscriptions AS w
        JOIN instruments AS i ON i.instrument_id = w.instrument_id
        -- One by one: in the order of the index, and without sorting those of all.
        CROSS JOIN LATERAL (
            SELECT count(*) AS candles, min(m.time) AS first, max(m.time) AS last
            FROM candles_1m AS m, hours
            WHERE m.instrument_id = w.instrument_id AND m.time >= hours.starts_at AND m.time < hours.ends_at
        ) AS p
        WHERE w.is_active
        GROUP BY i.exchange
    ),
    expected AS (
        SELECT o.*, CASE
            WHEN s.exchange IS NOT NULL THEN floor(extract(EPOCH FROM least(s.closes_at, now()) - s.opens_at) / 60)
            WHEN EXISTS (SELECT FROM trading_sessions AS each WHERE each.exchange = o.exchange) THEN 0
            ELSE coalesce(extract(EPOCH FROM o.last - o.first) / 60 + 1, 0)
        END::integer AS minutes
        FROM of_exchange AS o
        LEFT JOIN trading_sessions AS s ON s.exchange = o.exchange AND s.day = of_day
    )
    SELECT
        e.exchange, e.instruments, e.with_candles, greatest(e.minutes, 0), e.candles,
        e.candles / nullif(greatest(e.minutes, 0) * e.instruments, 0)::double precision
    FROM expected AS e
    ORDER BY e.exchange
$$;
