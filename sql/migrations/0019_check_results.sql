-- What dashboards and alerts look at beside the data itself: how checks went, what streams did over time, what is promised.

CREATE TABLE check_results (
    asset text NOT NULL,
    name text NOT NULL,
    passed boolean NOT NULL,
    severity text NOT NULL CHECK (severity IN ('WARN', 'ERROR')),
    message text NOT NULL DEFAULT '',
    checked_at timestamptz NOT NULL DEFAULT now(),
    failing_since timestamptz,
    PRIMARY KEY (asset, name)
);
COMMENT ON TABLE check_results IS 'How each check went the last time; Dagster keeps all times and all of what was found.';
COMMENT ON COLUMN check_results.failing_since IS 'When it failed after having passed; NULL while it passes.';

CREATE TABLE stream_samples (
    time timestamptz NOT NULL,
    stream text NOT NULL,
    state text NOT NULL,
    instruments integer NOT NULL,
    silent_instruments integer NOT NULL,
    heartbeats integer NOT NULL DEFAULT 1,
    ticks_per_second double precision NOT NULL,
    lag_ms double precision,
    lag_max_ms double precision,
    exchange_lag_ms double precision,
    exchange_lag_max_ms double precision,
    backlog_bytes bigint NOT NULL,
    reconnects integer NOT NULL,
    PRIMARY KEY (time, stream)
) WITH (fillfactor = 70);  -- each row is updated by the heartbeats of its 15 seconds
COMMENT ON TABLE stream_samples IS 'Table streams over time, a row each 15 seconds for two weeks; see sql/queries/beat.sql.';
COMMENT ON COLUMN stream_samples.lag_ms IS 'From received to committed: the median of the last heartbeat, and in lag_max_ms the largest of all.';
COMMENT ON COLUMN stream_samples.exchange_lag_ms IS 'From the exchange''s stamp, in whole seconds, to received; of trades. The median of the last heartbeat, and in exchange_lag_max_ms the largest 99th percentile of all.';

CREATE TABLE operating_limits (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    tick_retention_days integer NOT NULL,
    compress_after_days integer NOT NULL,
    database_max_bytes bigint,
    changed_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE operating_limits IS 'Copied from the settings, so that what is promised can be compared with what is.';
COMMENT ON COLUMN operating_limits.database_max_bytes IS 'How large the database may grow; NULL where nobody has said.';
