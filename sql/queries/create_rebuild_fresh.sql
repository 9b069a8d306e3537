-- What should be stored and is not; but for days that were dropped, the archive of which may have it.
CREATE TEMPORARY TABLE rebuild_fresh ON COMMIT DROP AS
SELECT n.* FROM rebuild_new AS n
LEFT JOIN rebuild_old AS o ON o.seq = n.seq AND o.instrument_id = n.instrument_id
WHERE o IS DISTINCT FROM n
AND n.time >= (SELECT ticks_dropped_before FROM candle_progress)
