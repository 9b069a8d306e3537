-- Gaps that the broker may fill: they are over, no other broker's feed has covered them, and every minute they touch closed before some instant.
SELECT gap_id, started_at, ended_at, cause, instruments, repair_attempts
FROM gaps
WHERE repaired_by IS NULL AND covered_by IS NULL
AND date_trunc('minute', ended_at) + INTERVAL '1 minute' <= :closed_before
AND (repair_after IS NULL OR repair_after <= :now)
ORDER BY started_at DESC, gap_id
