SELECT count(*) FILTER (WHERE archive LIKE 'damaged:%') AS value FROM dashboard_tick_retention()
