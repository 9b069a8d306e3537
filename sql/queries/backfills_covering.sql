-- What was asked before of a stretch of time, and answered.
SELECT instrument_id, starts_at, ends_at, asked_at, outcome
FROM backfills
WHERE broker = :broker AND minutes = :minutes::smallint AND instrument_id = ANY (:instrument_ids::bigint[])
AND outcome <> 'failed' AND starts_at < :ends_at AND ends_at > :starts_at
