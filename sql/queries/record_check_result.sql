INSERT INTO check_results AS c (asset, name, passed, severity, message, failing_since)
VALUES (:asset, :name, :passed, :severity, :message, CASE WHEN NOT :passed THEN now() END)
ON CONFLICT (asset, name) DO UPDATE SET
    passed = excluded.passed, severity = excluded.severity, message = excluded.message, checked_at = now(),
    failing_since = CASE WHEN NOT excluded.passed THEN coalesce(c.failing_since, now()) END
