-- As sql/functions/dashboard_day_sizes.sql has it. A chunk begins at half past five in India, so what trades between
-- midnight and then, as on the simulated exchange alone, counts with the day before.
CREATE OR REPLACE FUNCTION dashboard_day_sizes() RETURNS TABLE (day date, bytes bigint, is_compressed boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT (c.range_start AT TIME ZONE 'UTC')::date AS day, sum(s.total_bytes)::bigint, bool_and(c.is_compressed)
    FROM (VALUES ('ticks'), ('standby_ticks')) AS hypertables (name)
    CROSS JOIN LATERAL chunks_detailed_size(name::regclass) AS s
    JOIN timescaledb_information.chunks AS c ON c.chunk_schema = s.chunk_schema AND c.chunk_name = s.chunk_name
    GROUP BY day
$$;
