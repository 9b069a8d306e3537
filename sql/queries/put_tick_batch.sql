-- A batch that is there already was undone by the server, and is stored again.
INSERT INTO tick_batches (stream, arrivals, first_arrival, payload)
VALUES (:stream, :arrivals, :first_arrival, :payload)
ON CONFLICT (stream, arrivals) DO UPDATE SET
    first_arrival = excluded.first_arrival, written_at = excluded.written_at, payload = excluded.payload
