SELECT is_streaming, changed_at FROM desired_state
