SELECT
    call_open_interest, call_volume, call_change_percent, call_bid, call_ask, call_ltp, strike,
    put_ltp, put_bid, put_ask, put_change_percent, put_volume, put_open_interest
FROM dashboard_near_the_money(${underlying:sqlstring}, ${expiry:sqlstring}, $__timeTo(), 10)
ORDER BY strike
