-- Drops the ticks of a day and what stood by. Refused, where there are any, unless a certificate says that all of them are in the
-- archive, and its files were verified within the last hour. Runs under the exclusive candle lock, so that no tick comes between that and the drop.
CREATE OR REPLACE FUNCTION drop_archived_day(unwanted date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    reason text := why_tick_day_stays(unwanted);
    verified timestamptz := (SELECT verified_at FROM archives WHERE day = unwanted);
    starts timestamptz := unwanted::timestamp AT TIME ZONE 'Asia/Kolkata';
    ends timestamptz := (unwanted + 1)::timestamp AT TIME ZONE 'Asia/Kolkata';
BEGIN
    IF reason IS NULL AND verified < clock_timestamp() - INTERVAL '1 hour' AND (
        EXISTS (SELECT FROM ticks WHERE time >= starts AND time < ends)
        OR EXISTS (SELECT FROM standby_ticks WHERE time >= starts AND time < ends)
    ) THEN
        reason := format('their archive was last verified at %s: verify it first', verified);
    END IF;
    IF reason IS NOT NULL THEN
        RAISE EXCEPTION 'ticks of % stay: %', unwanted, reason;
    END IF;
    UPDATE archive_files SET is_dropped = true WHERE day = unwanted;
    UPDATE archives SET keep_until = NULL WHERE day = unwanted;
    PERFORM remove_tick_day(unwanted);
END
$$;
