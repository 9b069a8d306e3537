-- The exchanges of what is subscribed that are open now, and how long ago their newest tick was received, no longer than
-- they have been open. One of which the calendar says nothing never closes. is_streaming: nobody has stopped the streams.
CREATE OR REPLACE FUNCTION dashboard_exchanges() RETURNS TABLE (
    exchange text, subscribed bigint, open_since timestamptz, closes_at timestamptz, seconds_open double precision,
    seconds_without_tick double precision, ticking bigint, is_streaming boolean
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    WITH wanted AS (
        SELECT i.exchange, count(*) AS subscribed, min(w.since) AS since, array_agg(i.instrument_id) AS ids
        FROM subscriptions AS w
        JOIN instruments AS i ON i.instrument_id = w.instrument_id
        WHERE w.is_active
        GROUP BY i.exchange
    ),
    opened AS (
        SELECT wanted.*, greatest(coalesce(s.opens_at, wanted.since), wanted.since) AS open_since, s.closes_at
        FROM wanted
        LEFT JOIN trading_sessions AS s
        ON s.exchange = wanted.exchange AND s.opens_at <= now() AND s.closes_at > now()
        WHERE s.exchange IS NOT NULL
        OR NOT EXISTS (SELECT FROM trading_sessions AS each WHERE each.exchange = wanted.exchange)
    )
    SELECT
        o.exchange,
        o.subscribed,
        o.open_since,
        o.closes_at,
        extract(EPOCH FROM now() - o.open_since)::double precision,
        extract(EPOCH FROM now() - greatest(o.open_since, newest.received_at))::double precision,
        newest.ticking,
        (SELECT d.is_streaming FROM desired_state AS d)
    FROM opened AS o
    CROSS JOIN LATERAL (
        SELECT max(t.received_at) AS received_at, count(t.received_at) AS ticking
        FROM unnest(o.ids) AS id
        LEFT JOIN LATERAL (
            SELECT received_at FROM ticks
            -- Whatever is older makes no difference to anybody, and finding it would take long.
            WHERE instrument_id = id AND time > now() - INTERVAL '15 minutes' AND time < now() + INTERVAL '1 hour'
            ORDER BY time DESC LIMIT 1
        ) AS t ON true
    ) AS newest
    ORDER BY o.exchange
$$;
