UPDATE journal_positions SET arrivals = :arrivals, updated_at = now() WHERE stream = :stream
