-- Where a replay begins in a journal; what is stored is counted from nothing.
INSERT INTO journal_positions (
    stream, run_id, position, arrivals, last_received_at, is_stopped,
    checkpoint_position, checkpoint_arrivals, checkpoint_connection
) VALUES (:stream, '', :position, 0, :last_received_at, :is_stopped, :position, 0, -1)
