SELECT
    (
        SELECT coalesce(sum(pg_total_relation_size(relid)), 0)::bigint
        FROM pg_partition_tree('ticks')
    ) AS ticks_bytes,
    pg_total_relation_size('candles_1m_stored')
    + pg_total_relation_size('candles_5m_stored')
    + pg_total_relation_size('candles_15m_stored')
    + pg_total_relation_size('candles_1d_stored') AS candles_bytes,
    -- An infinite timestamp has no meaning outside PostgreSQL.
    CASE WHEN isfinite(watermark) THEN watermark END AS candle_watermark,
    refreshed_at AS candles_refreshed_at
FROM candle_progress
