-- The roles of the pipeline in their order; exists and can_log_in of the server.
SELECT wanted.name AS role, r.oid IS NOT NULL AS exists, coalesce(r.rolcanlogin, false) AS can_log_in
FROM unnest(ARRAY['market_writer', 'market_reader', 'market_api', 'market_grafana']) WITH ORDINALITY AS wanted (name, place)
LEFT JOIN pg_roles AS r ON r.rolname = wanted.name
ORDER BY wanted.place
