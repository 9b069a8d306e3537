-- How often each broker was asked, and when it may be asked again: shared by all processes.

CREATE TABLE broker_budgets (
    broker text NOT NULL,
    account text NOT NULL,
    budget text NOT NULL,
    state jsonb NOT NULL DEFAULT '{}',
    requests bigint NOT NULL GENERATED ALWAYS AS (coalesce((state ->> 'requests')::bigint, 0)) STORED,
    refusals bigint NOT NULL GENERATED ALWAYS AS (coalesce((state ->> 'refusals')::bigint, 0)) STORED,
    requests_of_day bigint NOT NULL GENERATED ALWAYS AS (coalesce((state ->> 'today')::bigint, 0)) STORED,
    paused_until timestamptz GENERATED ALWAYS AS (
        to_timestamp(nullif((state ->> 'paused_until')::double precision, 0))
    ) STORED,
    PRIMARY KEY (broker, account, budget)
);
COMMENT ON COLUMN broker_budgets.account IS 'A fingerprint of the key of the account, never the key.';
COMMENT ON COLUMN broker_budgets.state IS 'See brokers/pacing.py. Times are seconds since 1970 of this server''s clock.';
COMMENT ON COLUMN broker_budgets.requests_of_day IS 'Of the last day in Asia/Kolkata on which there was a request.';
COMMENT ON COLUMN broker_budgets.paused_until IS 'When the pause after the last refusal ends, or ended.';
