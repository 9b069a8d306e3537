SELECT
    stream,
    split_part(feed, ': ', 1) AS broker,
    CASE
        WHEN feed LIKE '%: awaiting_login' AND state NOT IN ('stopped', 'failed', 'no_heartbeat') THEN 1 ELSE 0
    END AS value
FROM dashboard_streams
CROSS JOIN LATERAL unnest(string_to_array(coalesce(feeds, broker || ': ' || state), ', ')) AS feed
