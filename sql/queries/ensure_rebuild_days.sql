SELECT ensure_tick_day(day) FROM (
    SELECT DISTINCT (time AT TIME ZONE 'Asia/Kolkata')::date AS day FROM rebuild_fresh
) AS days
