SELECT
    database_bytes::double precision AS database_bytes, forecast_bytes::double precision AS forecast_bytes,
    limit_bytes::double precision AS limit_bytes, bytes_a_day::double precision AS bytes_a_day
FROM dashboard_disk()
