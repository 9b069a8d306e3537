UPDATE journal_positions SET
    checkpoint_position = :position,
    checkpoint_arrivals = :arrivals,
    checkpoint_connection = :connection,
    checkpoint = :state
WHERE stream = :stream
