UPDATE gaps SET repaired_by = :repaired_by, repaired_at = now(), repair_failure = NULL WHERE gap_id = :gap_id
