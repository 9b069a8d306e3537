SELECT time, close, open_interest
FROM dashboard_candles(${instrument:sqlstring}, ${interval:sqlstring}, $__timeFrom(), $__timeTo())
ORDER BY time
