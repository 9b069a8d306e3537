SELECT stream, broker, CASE WHEN state = 'awaiting_login' OR feeds LIKE '%: awaiting_login%' THEN 1 ELSE 0 END AS value
FROM dashboard_streams
