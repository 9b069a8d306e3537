-- What should be stored and is not.
CREATE TEMPORARY TABLE rebuild_fresh ON COMMIT DROP AS
SELECT n.* FROM rebuild_new AS n
LEFT JOIN rebuild_old AS o ON o.seq = n.seq AND o.instrument_id = n.instrument_id
WHERE o IS DISTINCT FROM n
