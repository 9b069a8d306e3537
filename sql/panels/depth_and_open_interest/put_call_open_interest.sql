SELECT time, call_open_interest, put_open_interest
FROM dashboard_put_call(${underlying:sqlstring}, ${expiry:sqlstring}, $__timeFrom(), $__timeTo())
ORDER BY time
