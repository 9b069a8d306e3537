-- How large what is stored is, in bytes: with indexes, and how much of it is compressed from what to what. See also
-- sql/timescaledb/functions; plain PostgreSQL compresses nothing.
CREATE OR REPLACE FUNCTION dashboard_sizes() RETURNS TABLE (
    part text, bytes bigint, compressed_from_bytes bigint, compressed_to_bytes bigint
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT 'ticks', (SELECT sum(pg_total_relation_size(relid))::bigint FROM pg_partition_tree('ticks')), NULL::bigint, NULL::bigint
    UNION ALL
    SELECT 'standby ticks', (SELECT sum(pg_total_relation_size(relid))::bigint FROM pg_partition_tree('standby_ticks')), NULL, NULL
    UNION ALL
    SELECT 'candles', pg_total_relation_size('candles_1m_stored') + pg_total_relation_size('candles_5m_stored')
        + pg_total_relation_size('candles_15m_stored') + pg_total_relation_size('candles_1d_stored'), NULL, NULL
    UNION ALL
    SELECT 'broker candles', pg_total_relation_size('broker_candles'), NULL, NULL
$$;
