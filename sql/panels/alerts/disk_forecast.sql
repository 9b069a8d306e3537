SELECT 100 * coalesce(share_forecast, 0) AS value FROM dashboard_disk()
