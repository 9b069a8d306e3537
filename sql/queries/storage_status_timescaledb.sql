SELECT
    hypertable_size('ticks') AS ticks_bytes,
    (
        SELECT sum(hypertable_size(format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name)))
        FROM timescaledb_information.continuous_aggregates
        WHERE view_schema = (SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = 'ticks'::regclass)
    )::bigint AS candles_bytes,
    (SELECT sum(before_compression_total_bytes)::bigint FROM hypertable_compression_stats('ticks'))
        AS compressed_from_bytes,
    (SELECT sum(after_compression_total_bytes)::bigint FROM hypertable_compression_stats('ticks'))
        AS compressed_to_bytes,
    -- An infinite timestamp has no meaning outside PostgreSQL.
    CASE WHEN isfinite(watermark) THEN watermark END AS candle_watermark,
    refreshed_at AS candles_refreshed_at
FROM candle_progress
