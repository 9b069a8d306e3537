SELECT time, bid_quantity, ask_quantity
FROM dashboard_depth(${instrument:sqlstring}, '$__interval', $__timeFrom(), $__timeTo())
ORDER BY time
