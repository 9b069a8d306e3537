-- Each day of ticks that is stored or archived, the newest first: how large, whether in the archive and verified, and
-- how many days longer than promised it has stayed. A day more is allowed: what has just become too old is dropped at
-- half past midnight. One that was restored stays as long as it was restored for.
CREATE OR REPLACE FUNCTION dashboard_tick_retention() RETURNS TABLE (
    day date, is_stored boolean, bytes bigint, is_compressed boolean, days_too_long integer, archived_ticks bigint,
    verified_at timestamptz, archive text
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    WITH promised AS (
        SELECT (now() AT TIME ZONE 'Asia/Kolkata')::date - l.tick_retention_days - 1 AS oldest FROM operating_limits AS l
    ),
    days AS (
        SELECT coalesce(d.day, a.day) AS day, d.day IS NOT NULL AND d.dropped_at IS NULL AS is_stored, a.day AS archived_day
        FROM tick_days AS d
        FULL JOIN archives AS a ON a.day = d.day
        -- Made ahead, and empty yet.
        WHERE coalesce(d.day, a.day) <= (now() AT TIME ZONE 'Asia/Kolkata')::date
    )
    SELECT
        days.day,
        days.is_stored,
        CASE WHEN days.is_stored THEN s.bytes END,
        CASE WHEN days.is_stored THEN s.is_compressed END,
        CASE
            WHEN NOT days.is_stored OR a.keep_until > now() THEN 0
            ELSE greatest(coalesce((SELECT oldest FROM promised) - days.day, 0), 0)
        END,
        a.ticks,
        a.verified_at,
        CASE
            WHEN a.day IS NULL THEN 'none'
            WHEN a.damage IS NOT NULL THEN 'damaged: ' || a.damage
            WHEN a.changed_at IS NOT NULL THEN 'changed since'
            ELSE 'verified'
        END
    FROM days
    LEFT JOIN archives AS a ON a.day = days.archived_day
    LEFT JOIN dashboard_day_sizes() AS s ON s.day = days.day
    WHERE days.is_stored OR days.archived_day IS NOT NULL
    ORDER BY days.day DESC
$$;
