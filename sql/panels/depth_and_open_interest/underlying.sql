SELECT underlying FROM dashboard_underlyings()
