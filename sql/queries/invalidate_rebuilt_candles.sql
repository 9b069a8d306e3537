INSERT INTO candle_invalidations (instrument_id, time)
SELECT DISTINCT instrument_id, date_trunc('minute', time)
FROM (
    SELECT instrument_id, time FROM rebuild_gone
    UNION ALL
    SELECT instrument_id, time FROM rebuild_fresh
) AS changed
WHERE time < (SELECT threshold FROM candle_progress)
