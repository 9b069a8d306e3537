INSERT INTO trading_sessions (exchange, day, opens_at, closes_at)
SELECT * FROM unnest(:exchanges::text[], :days::date[], :opens_at::timestamptz[], :closes_at::timestamptz[])
ON CONFLICT (exchange, day) DO UPDATE SET opens_at = excluded.opens_at, closes_at = excluded.closes_at
WHERE (trading_sessions.opens_at, trading_sessions.closes_at) <> (excluded.opens_at, excluded.closes_at)
