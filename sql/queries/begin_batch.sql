SELECT begin_batch(
    :stream, :run_id, :old_position, :position, :arrivals, :is_stopped, :last_event_at, :last_received_at, :has_ticks
)
