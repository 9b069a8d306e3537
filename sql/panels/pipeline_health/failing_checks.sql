SELECT
    count(*) FILTER (WHERE outcome = 'failed') AS failed,
    count(*) FILTER (WHERE outcome = 'warning') AS warnings
FROM dashboard_checks
