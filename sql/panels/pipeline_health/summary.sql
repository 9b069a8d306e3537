SELECT
    count(*) FILTER (WHERE state = 'streaming') AS streaming,
    count(*) FILTER (WHERE state NOT IN ('streaming', 'stopped')) AS in_trouble,
    coalesce(sum(ticks_per_second) FILTER (WHERE state = 'streaming'), 0) AS ticks_per_second,
    max(lag_ms) FILTER (WHERE state = 'streaming') AS lag_ms,
    coalesce(sum(backlog_bytes), 0)::double precision AS backlog_bytes
FROM dashboard_streams
