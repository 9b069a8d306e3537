SELECT time, imbalance
FROM dashboard_depth(${instrument:sqlstring}, '$__interval', $__timeFrom(), $__timeTo())
ORDER BY time
