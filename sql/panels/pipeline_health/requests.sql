SELECT time, sum(requests)::double precision AS requests, broker || ', ' || purpose || ': ' || outcome AS metric
FROM dashboard_requests($__timeFrom(), $__timeTo(), $__interval_ms)
GROUP BY time, metric
ORDER BY time
