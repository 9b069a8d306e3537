SELECT time, state, CASE WHEN has_gap THEN 'gap' ELSE 'whole' END AS gap
FROM dashboard_candles(${instrument:sqlstring}, ${interval:sqlstring}, $__timeFrom(), $__timeTo())
ORDER BY time
