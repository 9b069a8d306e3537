SELECT time, spread, spread_basis_points
FROM dashboard_depth(${instrument:sqlstring}, '$__interval', $__timeFrom(), $__timeTo())
ORDER BY time
