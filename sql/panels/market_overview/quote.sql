SELECT ltp, change, change_percent, volume, open_interest, age FROM dashboard_quote(${instrument:sqlstring})
