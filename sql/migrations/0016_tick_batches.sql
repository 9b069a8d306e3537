-- What was committed within the last minute, for the API processes that hand it on as it comes.

-- UNLOGGED: it is worth nothing after a crash of the server, and the ticks are in ticks.
CREATE UNLOGGED TABLE tick_batches (
    stream text NOT NULL,
    arrivals bigint NOT NULL,
    first_arrival bigint NOT NULL,
    written_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    payload bytea NOT NULL,
    PRIMARY KEY (stream, arrivals)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
-- Compressing takes longer than it saves.
ALTER TABLE tick_batches ALTER COLUMN payload SET STORAGE EXTERNAL;
COMMENT ON TABLE tick_batches IS 'Ticks of one commit each, those numbered from first_arrival up to before arrivals, in that order (Arrow IPC stream).';

CREATE UNLOGGED TABLE tick_listeners (
    listener text PRIMARY KEY,
    seen_at timestamptz NOT NULL
);
COMMENT ON TABLE tick_listeners IS 'The API processes; writers fill tick_batches while one was seen within the last minute.';
