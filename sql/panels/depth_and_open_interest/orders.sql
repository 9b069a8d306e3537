SELECT time, buy_quantity, sell_quantity
FROM dashboard_depth(${instrument:sqlstring}, '$__interval', $__timeFrom(), $__timeTo())
ORDER BY time
