-- Streams have no instrument in common. What is of days that were dropped stays, as in create_rebuild_gone.sql.
WITH gone AS (
    DELETE FROM standby_ticks AS s
    USING rebuild_frames AS f
    WHERE s.received_at = f.received_at AND NOT f.stood_by_before
    AND s.time >= (SELECT ticks_dropped_before FROM candle_progress)
    AND s.instrument_id IN (
        SELECT instrument_id FROM rebuild_standby
        UNION SELECT instrument_id FROM rebuild_old
        UNION SELECT instrument_id FROM rebuild_new
    )
    RETURNING s.time
)
INSERT INTO rebuild_standby_days
SELECT DISTINCT (time AT TIME ZONE 'Asia/Kolkata')::date FROM gone
