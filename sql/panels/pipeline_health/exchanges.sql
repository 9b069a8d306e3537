SELECT exchange, open_since, closes_at, seconds_without_tick, ticking, subscribed FROM dashboard_exchanges() ORDER BY exchange
