SELECT bid, ask, spread, bid_quantity, ask_quantity, imbalance FROM dashboard_quote(${instrument:sqlstring})
