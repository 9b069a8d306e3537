INSERT INTO subscriptions (instrument_id, mode)
SELECT unnest(:instrument_ids::bigint[]), :mode
ON CONFLICT (instrument_id) DO UPDATE SET
    mode = excluded.mode,
    is_active = true,
    since = CASE WHEN subscriptions.is_active THEN subscriptions.since ELSE excluded.since END
