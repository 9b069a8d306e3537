DELETE FROM rejected WHERE stream = :stream AND position >= :start AND position < :stop
