SELECT strike::text AS strike, call_open_interest, put_open_interest
FROM (
    SELECT * FROM dashboard_chain(${underlying:sqlstring}, ${expiry:sqlstring}, $__timeTo())
    ORDER BY abs(strike - forward), strike LIMIT 41
) AS near
ORDER BY near.strike
