INSERT INTO operating_limits AS l (tick_retention_days, compress_after_days, database_max_bytes)
VALUES (:tick_retention_days, :compress_after_days, :database_max_bytes::bigint)
ON CONFLICT (only_row) DO UPDATE SET
    tick_retention_days = excluded.tick_retention_days, compress_after_days = excluded.compress_after_days,
    database_max_bytes = excluded.database_max_bytes, changed_at = now()
WHERE (l.tick_retention_days, l.compress_after_days, l.database_max_bytes)
IS DISTINCT FROM (excluded.tick_retention_days, excluded.compress_after_days, excluded.database_max_bytes)
