INSERT INTO rejected (stream, position, received_at, reason, payload)
VALUES (:stream, :position, :received_at, :reason, :payload)
