SELECT time, bid, ask, ltp
FROM dashboard_depth(${instrument:sqlstring}, '$__interval', $__timeFrom(), $__timeTo())
ORDER BY time
