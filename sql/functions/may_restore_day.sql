-- Tells whether all ticks of a day are in the archive and none is stored; candles of such a day are never made anew.
CREATE OR REPLACE FUNCTION may_restore_day(wanted date) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT
        EXISTS (SELECT FROM tick_days WHERE day = wanted AND dropped_at IS NOT NULL)
        AND EXISTS (SELECT FROM archives WHERE day = wanted AND changed_at IS NULL)
        AND NOT EXISTS (SELECT FROM archive_files WHERE day = wanted AND NOT is_dropped)
        AND EXISTS (
            SELECT FROM candle_progress
            WHERE ticks_dropped_before >= (wanted + 1)::timestamp AT TIME ZONE 'Asia/Kolkata'
        )
$$;
