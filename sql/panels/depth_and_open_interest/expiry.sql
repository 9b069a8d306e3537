SELECT expiry FROM dashboard_expiries(${underlying:sqlstring})
