-- What streams do, how far their journals are stored, what was missed and what was not understood.

CREATE TABLE streams (
    stream text PRIMARY KEY,
    broker text NOT NULL,
    run_id text NOT NULL,
    state text NOT NULL CHECK (state IN (
        'starting', 'connecting', 'streaming', 'awaiting_login', 'stopping', 'stopped', 'failed'
    )),
    detail text NOT NULL DEFAULT '',
    started_at timestamptz NOT NULL,
    heartbeat_at timestamptz NOT NULL,
    instruments integer NOT NULL DEFAULT 0,
    frames bigint NOT NULL DEFAULT 0,
    ticks bigint NOT NULL DEFAULT 0,
    ticks_per_second double precision NOT NULL DEFAULT 0,
    lag_ms double precision,
    backlog_bytes bigint NOT NULL DEFAULT 0,
    reconnects integer NOT NULL DEFAULT 0,
    faults bigint NOT NULL DEFAULT 0,
    anomalies bigint NOT NULL DEFAULT 0
);
COMMENT ON COLUMN streams.lag_ms IS 'From received to committed, the median of the last heartbeat.';

CREATE TABLE journal_positions (
    stream text PRIMARY KEY,
    run_id text NOT NULL,
    position bigint NOT NULL,
    arrivals bigint NOT NULL,
    last_event_at timestamptz,
    last_received_at timestamptz,
    is_stopped boolean NOT NULL,
    checkpoint_position bigint NOT NULL,
    checkpoint_arrivals bigint NOT NULL,
    checkpoint_connection bigint NOT NULL,
    checkpoint bytea,
    updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN journal_positions.position IS 'Everything in the journal before this offset is in ticks.';
COMMENT ON COLUMN journal_positions.is_stopped IS 'The last process ended in order, so its end is no unexplained gap.';
COMMENT ON COLUMN journal_positions.checkpoint IS 'What is known of each instrument at checkpoint_position (Arrow IPC).';

CREATE TABLE gaps (
    gap_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream text NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    cause text NOT NULL,
    instruments bigint[] NOT NULL DEFAULT '{}',
    repaired_by text
);
COMMENT ON TABLE gaps IS 'Times in which packets may have been missed; ended_at is NULL while it lasts.';
CREATE INDEX gaps_stream ON gaps (stream, started_at);
CREATE UNIQUE INDEX gaps_open ON gaps (stream) WHERE ended_at IS NULL;

CREATE TABLE rejected (
    stream text NOT NULL,
    position bigint NOT NULL,
    received_at timestamptz NOT NULL,
    reason text NOT NULL,
    payload bytea NOT NULL
);
COMMENT ON TABLE rejected IS 'Bytes that were received and could not become ticks, kept whole.';
CREATE INDEX rejected_stream ON rejected (stream, position);
