SELECT stream, coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY lag_max_ms), 0) AS value
FROM dashboard_stream_history($__timeFrom(), $__timeTo(), 15000)
GROUP BY stream
