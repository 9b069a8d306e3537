SELECT asset, name, CASE WHEN outcome = 'failed' THEN 1 ELSE 0 END AS value FROM dashboard_checks
