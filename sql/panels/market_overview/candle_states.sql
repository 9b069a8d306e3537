SELECT
    count(*) FILTER (WHERE state = 'final') AS final,
    count(*) FILTER (WHERE state = 'repaired') AS repaired,
    count(*) FILTER (WHERE state = 'backfilled') AS backfilled,
    count(*) FILTER (WHERE state = 'provisional') AS provisional,
    count(*) FILTER (WHERE has_gap) AS has_gap
FROM dashboard_candles(${instrument:sqlstring}, ${interval:sqlstring}, $__timeFrom(), $__timeTo())
