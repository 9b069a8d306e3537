-- How far each stream is stored.
SELECT
    stream, arrivals, (extract(EPOCH FROM last_received_at) * 1000000)::bigint AS last_received_at,
    clock_timestamp() AS written_at
FROM journal_positions
