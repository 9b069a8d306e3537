-- No row where this schema does not use TimescaleDB: that of a replay has partitions on every server.
SELECT extversion FROM pg_extension
WHERE extname = 'timescaledb' AND NOT EXISTS (
    SELECT FROM pg_class WHERE oid = to_regclass('ticks') AND relkind = 'p'
)
