SELECT outcome, name, asset, message, failing_since, checked_at FROM dashboard_checks
