SELECT count(*) FROM subscriptions WHERE is_active
