SELECT time, instruments FROM dashboard_candle_counts($__timeFrom(), $__timeTo()) ORDER BY time
