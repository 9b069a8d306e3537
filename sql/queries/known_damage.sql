SELECT position FROM rejected
WHERE stream = :stream AND position >= :start AND position < :stop AND reason = :reason
