SELECT time, stream, state
FROM dashboard_stream_history($__timeFrom(), $__timeTo(), $__interval_ms)
ORDER BY time, stream
