-- As on plain PostgreSQL, but rows go into the hypertables themselves: see sql/functions/restore_tick_day.sql.
CREATE OR REPLACE FUNCTION begin_restored_day(wanted date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    hypertable text;
BEGIN
    IF NOT may_restore_day(wanted) THEN
        RETURN false;
    END IF;
    FOREACH hypertable IN ARRAY ARRAY['ticks', 'standby_ticks']
    LOOP
        EXECUTE format(
            'CREATE TEMPORARY VIEW %I AS SELECT * FROM %I WHERE time >= %L AND time < %L', 'restored_' || hypertable,
            hypertable, wanted::timestamp AT TIME ZONE 'Asia/Kolkata', (wanted + 1)::timestamp AT TIME ZONE 'Asia/Kolkata'
        );
        EXECUTE format('GRANT SELECT ON %I TO PUBLIC', 'restored_' || hypertable);
    END LOOP;
    RETURN true;
END
$$;

CREATE OR REPLACE FUNCTION index_restored_day(wanted date) RETURNS boolean LANGUAGE sql AS $$
    SELECT true
$$;

CREATE OR REPLACE FUNCTION attach_restored_day(wanted date, kept_until timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    DROP VIEW restored_ticks, restored_standby_ticks;
    -- A late tick of the day waits for this row, or was there first.
    UPDATE tick_days SET created_at = now(), dropped_at = NULL WHERE day = wanted AND dropped_at IS NOT NULL;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE archive_files SET is_dropped = false WHERE day = wanted;
    UPDATE archives SET keep_until = kept_until WHERE day = wanted;
    RETURN true;
END
$$;
