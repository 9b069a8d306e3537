-- Whether anything is to be streamed; changed_at tells since when.
UPDATE desired_state SET
    changed_at = CASE WHEN is_streaming = :is_streaming::boolean THEN changed_at ELSE now() END,
    is_streaming = :is_streaming
