SELECT 100 * coalesce(share_used, 0) AS value FROM dashboard_disk()
