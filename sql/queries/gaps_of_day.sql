-- Times in which packets may have been missed, from one time on; the newest first.
SELECT
    gap_id, stream, started_at, ended_at, cause, broker, covered_by, cardinality(instruments) AS instruments,
    repaired_by, repair_failure
FROM gaps
WHERE ended_at >= :since::timestamptz OR ended_at IS NULL
ORDER BY started_at DESC
LIMIT :rows::bigint
