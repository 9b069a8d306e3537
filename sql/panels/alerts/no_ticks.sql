SELECT exchange, CASE WHEN is_streaming THEN seconds_without_tick ELSE 0 END AS value FROM dashboard_exchanges()
