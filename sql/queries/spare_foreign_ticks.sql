-- Two streams can receive in the same microsecond. A tick of an instrument that no frame of ours has
-- brought at that time is foreign if its number is that of one that a frame of ours has brought.
WITH recognised AS (
    SELECT o.ctid AS place, o.seq & 4294967295 AS number
    FROM rebuild_old AS o
    WHERE EXISTS (
        SELECT FROM rebuild_new AS n
        WHERE n.received_at = o.received_at AND n.instrument_id = o.instrument_id
    )
)
DELETE FROM rebuild_old AS o
WHERE NOT EXISTS (SELECT FROM recognised AS r WHERE r.place = o.ctid)
AND EXISTS (SELECT FROM recognised AS r WHERE r.number = o.seq & 4294967295)
