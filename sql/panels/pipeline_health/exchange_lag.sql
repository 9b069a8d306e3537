SELECT
    time,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY exchange_lag_ms) AS "median",
    max(exchange_lag_max_ms) AS "99th percentile"
FROM dashboard_stream_history($__timeFrom(), $__timeTo(), $__interval_ms)
GROUP BY time
ORDER BY time
