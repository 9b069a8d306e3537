-- A day of ticks comes back from the archive in one transaction: begin_restored_day(), rows into the table that it names,
-- index_restored_day(), a comparison of restored_ticks and restored_standby_ticks with the certificate, attach_restored_day().
-- Until the last step nothing is locked that writers of ticks need, and nobody sees the rows before the commit.
CREATE OR REPLACE FUNCTION begin_restored_day(wanted date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF NOT may_restore_day(wanted) THEN
        RETURN false;
    END IF;
    CREATE TABLE restored_ticks (LIKE ticks INCLUDING DEFAULTS);
    CREATE TABLE restored_standby_ticks (LIKE standby_ticks INCLUDING DEFAULTS);
    -- Only this transaction can see them.
    GRANT SELECT, INSERT ON restored_ticks, restored_standby_ticks TO PUBLIC;
    RETURN true;
END
$$;

CREATE OR REPLACE FUNCTION index_restored_day(wanted date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    parent text;
BEGIN
    FOREACH parent IN ARRAY ARRAY['ticks', 'standby_ticks']
    LOOP
        EXECUTE format('CREATE INDEX ON %I (instrument_id, time)', 'restored_' || parent);
        EXECUTE format('CREATE INDEX ON %I USING brin (time)', 'restored_' || parent);
        EXECUTE format('ANALYZE %I', 'restored_' || parent);
    END LOOP;
    RETURN true;
END
$$;

CREATE OR REPLACE FUNCTION attach_restored_day(wanted date, kept_until timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    parent text;
    partition text;
BEGIN
    -- As in ensure_tick_day().
    PERFORM pg_advisory_xact_lock(hashtextextended('ensure_tick_day', 0));
    IF NOT may_restore_day(wanted) THEN
        RETURN false;
    END IF;
    FOREACH parent IN ARRAY ARRAY['ticks', 'standby_ticks']
    LOOP
        partition := parent || '_' || to_char(wanted, 'YYYYMMDD');
        EXECUTE format('REVOKE ALL ON %I FROM PUBLIC', 'restored_' || parent);
        EXECUTE format('ALTER TABLE %I RENAME TO %I', 'restored_' || parent, partition);
        PERFORM attach_tick_partition(parent, partition, wanted);
    END LOOP;
    UPDATE tick_days SET
        relation = ('ticks_' || to_char(wanted, 'YYYYMMDD'))::regclass, created_at = now(), dropped_at = NULL
    WHERE day = wanted;
    UPDATE archive_files SET is_dropped = false WHERE day = wanted;
    UPDATE archives SET keep_until = kept_until WHERE day = wanted;
    RETURN true;
END
$$;
