SELECT
    time,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY lag_ms) AS "median",
    max(lag_p95_ms) AS "95th percentile",
    max(lag_max_ms) AS "largest"
FROM dashboard_stream_history($__timeFrom(), $__timeTo(), $__interval_ms)
GROUP BY time
ORDER BY time
