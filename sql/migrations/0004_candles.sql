-- Candles on plain PostgreSQL: stored up to a watermark, computed from ticks after it.

CREATE TABLE candles_1m_stored (
    instrument_id bigint NOT NULL,
    time timestamptz NOT NULL,
    open double precision NOT NULL,
    high double precision NOT NULL,
    low double precision NOT NULL,
    close double precision NOT NULL,
    volume bigint,
    open_interest bigint,
    trades bigint NOT NULL,
    PRIMARY KEY (instrument_id, time)
);
CREATE INDEX candles_1m_stored_time ON candles_1m_stored USING brin (time);
CREATE TABLE candles_5m_stored (LIKE candles_1m_stored INCLUDING ALL);
CREATE TABLE candles_15m_stored (LIKE candles_1m_stored INCLUDING ALL);

CREATE TABLE candle_progress (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    threshold timestamptz NOT NULL DEFAULT '-infinity',
    watermark timestamptz NOT NULL DEFAULT '-infinity',
    ticks_dropped_before timestamptz NOT NULL DEFAULT '-infinity',
    refreshed_at timestamptz
);
INSERT INTO candle_progress DEFAULT VALUES;
COMMENT ON COLUMN candle_progress.threshold IS 'Whoever writes a tick before this records its candle in candle_invalidations.';
COMMENT ON COLUMN candle_progress.watermark IS 'Candles before this are read from the stored tables.';

CREATE TABLE candle_invalidations (
    instrument_id bigint NOT NULL,
    time timestamptz NOT NULL
);
COMMENT ON TABLE candle_invalidations IS 'One-minute candles that late ticks have changed since they were stored.';

CREATE TABLE candle_definitions (
    name text PRIMARY KEY,
    sha256 text NOT NULL
);

-- The first statement of every batch of ticks: one round trip. Returns the threshold in
-- microseconds since 1970, or NULL when another run owns the stream or the batch is stored already.
CREATE FUNCTION begin_batch(
    wanted_stream text, wanted_run_id text, old_position bigint, new_position bigint, new_arrivals bigint,
    new_is_stopped boolean, new_last_event_at timestamptz, new_last_received_at timestamptz, has_ticks boolean
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    found_threshold timestamptz;
BEGIN
    UPDATE journal_positions SET
        position = new_position,
        arrivals = new_arrivals,
        is_stopped = new_is_stopped,
        last_event_at = greatest(last_event_at, new_last_event_at),
        last_received_at = coalesce(new_last_received_at, last_received_at),
        updated_at = now()
    WHERE stream = wanted_stream AND run_id = wanted_run_id AND position = old_position;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF has_ticks THEN
        PERFORM pg_notify('ticks', json_build_object('stream', wanted_stream, 'arrivals', new_arrivals)::text);
    END IF;
    -- Whoever moves the threshold holds this lock alone. The threshold is read by a later
    -- statement, which sees what was committed while this one waited.
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('candle_threshold', 0));
    SELECT threshold INTO found_threshold FROM candle_progress;
    IF NOT isfinite(found_threshold) THEN
        RETURN -9223372036854775807;  -- before every tick
    END IF;
    RETURN (extract(epoch FROM found_threshold) * 1000000)::bigint;
END
$$;
