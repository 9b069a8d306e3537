-- Gaps that wait for long to be filled, and those that were given up lately.
SELECT gap_id AS gap, cause, ended_at, coalesce(repair_failure, 'not tried yet') AS why
FROM gaps
WHERE (repaired_by IS NULL AND covered_by IS NULL AND ended_at < :ended_before)
OR (repaired_by LIKE 'given up:%' AND ended_at > :given_up_since)
ORDER BY gap_id DESC
