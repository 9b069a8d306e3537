-- How each check went the last time, those that fail first.
CREATE OR REPLACE VIEW dashboard_checks AS
SELECT
    asset,
    name,
    CASE WHEN passed THEN 'passed' WHEN severity = 'WARN' THEN 'warning' ELSE 'failed' END AS outcome,
    message,
    checked_at,
    failing_since
FROM check_results
ORDER BY passed, severity, failing_since, asset, name;
