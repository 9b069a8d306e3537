SELECT ensure_tick_day(day) FROM (
    SELECT (time AT TIME ZONE 'Asia/Kolkata')::date AS day FROM rebuild_fresh
    UNION
    SELECT (time AT TIME ZONE 'Asia/Kolkata')::date AS day FROM rebuild_standby
) AS days
