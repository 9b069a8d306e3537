SELECT time, sum(silent_instruments) AS "silent instruments", sum(reconnects) AS "reconnections"
FROM dashboard_stream_history($__timeFrom(), $__timeTo(), $__interval_ms)
GROUP BY time
ORDER BY time
