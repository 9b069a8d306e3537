SELECT time, open, high, low, close, volume, open_interest, trades, state, has_gap
FROM candles(:instrument_id::bigint, make_interval(mins => :minutes::integer), :start::timestamptz, :ends::timestamptz)
ORDER BY time
LIMIT :rows::bigint
