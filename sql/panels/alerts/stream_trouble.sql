SELECT
    stream,
    CASE
        WHEN state IN ('failed', 'journal_full', 'no_heartbeat') AND EXISTS (SELECT FROM dashboard_exchanges()) THEN 1 ELSE 0
    END AS value
FROM dashboard_streams
