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
