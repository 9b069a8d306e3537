INSERT INTO standby_ticks
SELECT * FROM rebuild_standby WHERE time >= (SELECT ticks_dropped_before FROM candle_progress)
