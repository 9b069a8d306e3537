-- Moves nothing when another run owns the stream or the batch was stored already.
UPDATE journal_positions SET
    position = :position,
    arrivals = :arrivals,
    is_stopped = :is_stopped,
    last_event_at = greatest(last_event_at, :last_event_at),
    last_received_at = coalesce(:last_received_at, last_received_at),
    updated_at = now()
WHERE stream = :stream AND run_id = :run_id AND position = :old_position
