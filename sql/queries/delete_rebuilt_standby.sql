-- Streams have no instrument in common.
WITH gone AS (
    DELETE FROM standby_ticks AS s
    USING rebuild_frames AS f
    WHERE s.received_at = f.received_at
    AND s.instrument_id IN (
        SELECT instrument_id FROM rebuild_standby
        UNION SELECT instrument_id FROM rebuild_old
        UNION SELECT instrument_id FROM rebuild_new
    )
    RETURNING s.time
)
INSERT INTO rebuild_standby_days
SELECT DISTINCT (time AT TIME ZONE 'Asia/Kolkata')::date FROM gone
