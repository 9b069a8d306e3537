SELECT time, backlog_bytes, stream AS metric
FROM dashboard_stream_history($__timeFrom(), $__timeTo(), $__interval_ms)
ORDER BY time
