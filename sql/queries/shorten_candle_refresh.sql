-- Before ticks up to a time are dropped, in a transaction of its own.
SELECT shorten_candle_refresh(:dropped_before)
