-- How much room the ticks of each day take, with what stood by and indexes. A chunk begins at 05:30 of its day.
CREATE OR REPLACE FUNCTION tick_day_sizes() RETURNS TABLE (day date, bytes bigint) LANGUAGE sql STABLE AS $$
    SELECT (c.range_start AT TIME ZONE 'Asia/Kolkata')::date, sum(s.total_bytes)::bigint
    FROM timescaledb_information.chunks AS c
    JOIN (
        SELECT * FROM chunks_detailed_size('ticks')
        UNION ALL
        SELECT * FROM chunks_detailed_size('standby_ticks')
    ) AS s USING (chunk_schema, chunk_name)
    GROUP BY 1
$$
