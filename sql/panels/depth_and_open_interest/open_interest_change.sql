SELECT time, open_interest_change
FROM dashboard_candles(${instrument:sqlstring}, ${interval:sqlstring}, $__timeFrom(), $__timeTo())
ORDER BY time
