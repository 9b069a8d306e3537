SELECT time, timeend, text, tags FROM dashboard_repairs(${instrument:sqlstring}, $__timeFrom(), $__timeTo())
