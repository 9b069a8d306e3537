-- How large the database is, how large it may be and will be once as many days of ticks are stored as are to be kept: a
-- day is counted as large as the largest of the last week, today's not being over. NULL where that is not known.
CREATE OR REPLACE FUNCTION dashboard_disk() RETURNS TABLE (
    database_bytes bigint, limit_bytes bigint, bytes_a_day bigint, forecast_bytes bigint, share_used double precision,
    share_forecast double precision
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    WITH known AS (
        SELECT
            pg_database_size(current_database()) AS now_bytes,
            (SELECT l.database_max_bytes FROM operating_limits AS l) AS most_bytes,
            (SELECT l.tick_retention_days FROM operating_limits AS l) AS keep_days,
            max(s.bytes) FILTER (WHERE s.day >= today - 7) AS day_bytes,
            count(*) FILTER (WHERE s.bytes > 0) AS days
        FROM (SELECT (now() AT TIME ZONE 'Asia/Kolkata')::date AS today) AS _
        LEFT JOIN dashboard_day_sizes() AS s ON s.day <= today
        GROUP BY today
    ),
    forecast AS (
        -- With the day that is being filled and the one that waits to be dropped.
        SELECT *, now_bytes + greatest(keep_days + 2 - days, 0) * day_bytes AS later_bytes FROM known
    )
    SELECT
        now_bytes, most_bytes, day_bytes, later_bytes::bigint,
        now_bytes / most_bytes::double precision, later_bytes / most_bytes::double precision
    FROM forecast
$$;
