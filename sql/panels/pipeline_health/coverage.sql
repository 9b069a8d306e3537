SELECT exchange, instruments, with_candles, session_minutes, candles, 100 * share AS share
FROM dashboard_coverage(($__timeTo()::timestamptz AT TIME ZONE 'Asia/Kolkata')::date)
ORDER BY exchange
