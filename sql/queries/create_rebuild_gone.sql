-- What is stored and should not be. Ticks of days that were dropped may be in the archive, which a rebuild does not
-- read, and their candles are final: those stay as they are.
CREATE TEMPORARY TABLE rebuild_gone ON COMMIT DROP AS
SELECT o.* FROM rebuild_old AS o
LEFT JOIN rebuild_new AS n ON n.seq = o.seq AND n.instrument_id = o.instrument_id
WHERE n IS DISTINCT FROM o
AND o.time >= (SELECT ticks_dropped_before FROM candle_progress)
