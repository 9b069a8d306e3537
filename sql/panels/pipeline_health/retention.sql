SELECT day::text AS day, is_stored, bytes, is_compressed, days_too_long, archived_ticks, verified_at, archive
FROM dashboard_tick_retention()
ORDER BY day DESC
LIMIT 60
