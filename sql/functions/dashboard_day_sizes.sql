-- How large each stored day of ticks is; see also sql/timescaledb/functions.
CREATE OR REPLACE FUNCTION dashboard_day_sizes() RETURNS TABLE (day date, bytes bigint, is_compressed boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT
        d.day,
        pg_total_relation_size(d.relation)
        + coalesce(pg_total_relation_size(to_regclass('standby_ticks_' || to_char(d.day, 'YYYYMMDD'))), 0),
        false
    FROM tick_days AS d
    WHERE d.dropped_at IS NULL AND d.relation IS NOT NULL
$$;
