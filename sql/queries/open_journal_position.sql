-- Whoever opens a stream last owns it: an earlier run can no longer move the position.
INSERT INTO journal_positions (
    stream, run_id, position, arrivals, is_stopped,
    checkpoint_position, checkpoint_arrivals, checkpoint_connection
) VALUES (:stream, :run_id, 0, 0, true, 0, 0, -1)
ON CONFLICT (stream) DO UPDATE SET run_id = excluded.run_id
RETURNING
    position, arrivals, last_received_at, is_stopped,
    checkpoint_position, checkpoint_arrivals, checkpoint_connection, checkpoint
