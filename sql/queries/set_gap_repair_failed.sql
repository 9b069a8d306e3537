UPDATE gaps SET
    repair_attempts = repair_attempts + 1, repair_after = :repair_after, repair_failure = :failure,
    repaired_by = CASE WHEN :is_given_up THEN 'given up: ' || :failure END
WHERE gap_id = :gap_id
