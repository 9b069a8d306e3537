SELECT time, timeend, text, tags FROM dashboard_gaps(${instrument:sqlstring}, $__timeFrom(), $__timeTo())
