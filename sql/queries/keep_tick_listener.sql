-- Returns whether writers knew of any API process already.
WITH forgotten AS (
    DELETE FROM tick_listeners WHERE seen_at < clock_timestamp() - INTERVAL '1 hour' AND listener <> :listener
),
known AS (
    SELECT EXISTS (SELECT FROM tick_listeners WHERE seen_at > clock_timestamp() - INTERVAL '55 seconds') AS is_known
)
INSERT INTO tick_listeners (listener, seen_at) VALUES (:listener, clock_timestamp())
ON CONFLICT (listener) DO UPDATE SET seen_at = excluded.seen_at
RETURNING (SELECT is_known FROM known)
