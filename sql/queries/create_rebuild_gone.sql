-- What is stored and should not be.
CREATE TEMPORARY TABLE rebuild_gone ON COMMIT DROP AS
SELECT o.* FROM rebuild_old AS o
LEFT JOIN rebuild_new AS n ON n.seq = o.seq AND n.instrument_id = o.instrument_id
WHERE n IS DISTINCT FROM o
