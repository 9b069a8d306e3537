-- As sql/functions/dashboard_sizes.sql has it. Candles are those of the continuous aggregates, and those whose ticks were
-- gone when the server was given TimescaleDB.
CREATE OR REPLACE FUNCTION dashboard_sizes() RETURNS TABLE (
    part text, bytes bigint, compressed_from_bytes bigint, compressed_to_bytes bigint
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT
        parts.part,
        coalesce(hypertable_size(parts.hypertable), 0),
        (SELECT sum(before_compression_total_bytes)::bigint FROM hypertable_compression_stats(parts.hypertable)),
        (SELECT sum(after_compression_total_bytes)::bigint FROM hypertable_compression_stats(parts.hypertable))
    FROM (VALUES
        ('ticks', 'ticks'::regclass), ('standby ticks', 'standby_ticks'::regclass),
        ('broker candles', 'broker_candles'::regclass)
    ) AS parts (part, hypertable)
    UNION ALL
    SELECT
        'candles',
        coalesce(
            sum(hypertable_size(format('%I.%I', c.materialization_hypertable_schema, c.materialization_hypertable_name))), 0
        )::bigint
        + pg_total_relation_size('candles_1m_stored') + pg_total_relation_size('candles_5m_stored')
        + pg_total_relation_size('candles_15m_stored') + pg_total_relation_size('candles_1d_stored'),
        NULL,
        NULL
    FROM timescaledb_information.continuous_aggregates AS c
    WHERE c.view_schema = (SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = 'ticks'::regclass)
$$;
