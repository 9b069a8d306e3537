SELECT ensure_tick_day(day) FROM (
    SELECT (time AT TIME ZONE 'Asia/Kolkata')::date AS day FROM rebuild_fresh
    UNION
    SELECT (time AT TIME ZONE 'Asia/Kolkata')::date AS day FROM rebuild_standby
    WHERE time >= (SELECT ticks_dropped_before FROM candle_progress)
) AS days
