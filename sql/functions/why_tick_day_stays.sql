-- Says why the ticks of a day may not be dropped; NULL: they may, as far as the database knows. A day without any tick may always.
CREATE OR REPLACE FUNCTION why_tick_day_stays(wanted date) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    starts timestamptz := wanted::timestamp AT TIME ZONE 'Asia/Kolkata';
    ends timestamptz := (wanted + 1)::timestamp AT TIME ZONE 'Asia/Kolkata';
    stored bigint := (SELECT count(*) FROM ticks WHERE time >= starts AND time < ends);
    standing_by bigint := (SELECT count(*) FROM standby_ticks WHERE time >= starts AND time < ends);
    archived bigint;
    archived_standby bigint;
    certificate archives;
BEGIN
    IF stored = 0 AND standing_by = 0 THEN
        RETURN NULL;
    END IF;
    SELECT * INTO certificate FROM archives WHERE day = wanted;
    IF NOT FOUND THEN
        RETURN 'they are not archived';
    END IF;
    IF certificate.damage IS NOT NULL THEN
        RETURN format('their archive is damaged: %s', certificate.damage);
    END IF;
    IF certificate.changed_at IS NOT NULL THEN
        RETURN format('some came after they were archived, at %s: archive them again', certificate.changed_at);
    END IF;
    SELECT
        coalesce(sum(rows) FILTER (WHERE kind = 'ticks'), 0), coalesce(sum(rows) FILTER (WHERE kind = 'standby_ticks'), 0)
    INTO archived, archived_standby
    FROM archive_files WHERE day = wanted AND NOT is_dropped;
    IF (archived, archived_standby) <> (stored, standing_by) THEN
        RETURN format(
            '%s and %s on stand-by are stored, but %s and %s archived: archive them again',
            stored, standing_by, archived, archived_standby
        );
    END IF;
    RETURN NULL;
END
$$;
