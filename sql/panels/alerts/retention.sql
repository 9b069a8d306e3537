SELECT coalesce(max(days_too_long), 0) AS value FROM dashboard_tick_retention()
