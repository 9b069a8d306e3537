-- What streams did from one time up to another, for each and for as many milliseconds; see table stream_samples. A
-- stream of which nothing is known for two steps, or for as long as makes a heartbeat late, has a row of NULL where its
-- last step ends, so that nobody draws over what is not known; until the next sample there are no more.
CREATE OR REPLACE FUNCTION dashboard_stream_history(from_time timestamptz, to_time timestamptz, milliseconds bigint)
RETURNS TABLE (
    "time" timestamptz, stream text, state text, ticks_per_second double precision, lag_ms double precision,
    lag_p95_ms double precision, lag_max_ms double precision, exchange_lag_ms double precision,
    exchange_lag_max_ms double precision, backlog_bytes bigint, silent_instruments integer, reconnects bigint
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    WITH samples AS (
        SELECT
            s.*, step.length, date_bin(step.length, s.time, TIMESTAMPTZ '2000-01-01 00:00:00Z') AS begins,
            s.reconnects - lag(s.reconnects, 1, s.reconnects) OVER (PARTITION BY s.stream ORDER BY s.time) AS more
        FROM stream_samples AS s
        CROSS JOIN (SELECT greatest(milliseconds, 15000) * INTERVAL '1 millisecond' AS length) AS step
        WHERE s.time >= from_time AND s.time <= to_time
    ),
    followed AS (
        SELECT
            begins, s.stream, length,
            lead(begins, 1, least(to_time, now())) OVER (PARTITION BY s.stream ORDER BY begins) AS next
        FROM samples AS s
        GROUP BY begins, s.stream, length
    )
    SELECT
        begins,
        s.stream,
        -- The state that lasted longest; of equals the one that begins with less.
        mode() WITHIN GROUP (ORDER BY s.state),
        avg(s.ticks_per_second),
        percentile_cont(0.5) WITHIN GROUP (ORDER BY s.lag_ms),
        percentile_cont(0.95) WITHIN GROUP (ORDER BY s.lag_max_ms),
        max(s.lag_max_ms),
        percentile_cont(0.5) WITHIN GROUP (ORDER BY s.exchange_lag_ms),
        max(s.exchange_lag_max_ms),
        max(s.backlog_bytes),
        max(s.silent_instruments),
        sum(greatest(s.more, 0))::bigint  -- a process that was started again counts from zero
    FROM samples AS s
    GROUP BY begins, s.stream
    UNION ALL
    SELECT begins + length, f.stream, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
    FROM followed AS f
    WHERE next - begins > greatest(2 * length, INTERVAL '45 seconds')
    ORDER BY 1, 2
$$;
