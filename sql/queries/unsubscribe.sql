UPDATE subscriptions SET is_active = false
WHERE instrument_id = ANY (:instrument_ids::bigint[]) AND is_active
