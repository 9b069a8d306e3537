-- The archive of these days lacks what a rebuild writes, or has what it deletes.
SELECT reopen_archives(array_agg(day))
FROM (
    SELECT (time AT TIME ZONE 'Asia/Kolkata')::date AS day FROM rebuild_gone
    UNION
    SELECT (time AT TIME ZONE 'Asia/Kolkata')::date FROM rebuild_fresh
    UNION
    SELECT (time AT TIME ZONE 'Asia/Kolkata')::date FROM rebuild_standby
    WHERE time >= (SELECT ticks_dropped_before FROM candle_progress)
    UNION
    SELECT day FROM rebuild_standby_days
) AS changed
