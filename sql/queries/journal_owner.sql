SELECT run_id, position FROM journal_positions WHERE stream = :stream
