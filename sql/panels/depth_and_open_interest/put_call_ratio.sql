SELECT time, open_interest_ratio, volume_ratio
FROM dashboard_put_call(${underlying:sqlstring}, ${expiry:sqlstring}, $__timeFrom(), $__timeTo())
ORDER BY time
