-- How much room the ticks of each day take, with what stood by and indexes.
CREATE OR REPLACE FUNCTION tick_day_sizes() RETURNS TABLE (day date, bytes bigint) LANGUAGE sql STABLE AS $$
    SELECT
        d.day,
        pg_total_relation_size(d.relation)
        + coalesce(pg_total_relation_size(to_regclass('standby_ticks_' || to_char(d.day, 'YYYYMMDD'))), 0)
    FROM tick_days AS d
    WHERE d.relation IS NOT NULL
$$
