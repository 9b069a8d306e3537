-- Ticks become a hypertable of day-long chunks. Candles whose ticks are gone stay in the stored tables.

CREATE EXTENSION IF NOT EXISTS timescaledb;

-- The views are made anew after the migrations, on top of continuous aggregates.
DROP VIEW IF EXISTS candles_1d, candles_15m, candles_5m, candles_1m;
DELETE FROM candle_definitions WHERE name LIKE 'candles\_%';

ALTER TABLE ticks RENAME TO ticks_plain;
CREATE TABLE ticks (LIKE ticks_plain INCLUDING DEFAULTS INCLUDING COMMENTS);
SELECT create_hypertable('ticks', by_range('time', INTERVAL '1 day'), create_default_indexes => false);
INSERT INTO ticks SELECT * FROM ticks_plain;
DROP TABLE ticks_plain;
-- As on plain PostgreSQL: see 0002_ticks.sql.
CREATE INDEX ticks_instrument_time ON ticks (instrument_id, time);
CREATE INDEX ticks_time ON ticks USING brin (time);
ALTER TABLE ticks SET (
    timescaledb.enable_columnstore,
    timescaledb.segmentby = 'instrument_id',
    timescaledb.orderby = 'time, seq'
);

-- Days are dropped whole, so from the first day that has ticks on every candle can be computed.
DELETE FROM candles_1m_stored WHERE time >= (SELECT date_trunc('day', min(time), 'Asia/Kolkata') FROM ticks);
DELETE FROM candles_5m_stored WHERE time >= (SELECT date_trunc('day', min(time), 'Asia/Kolkata') FROM ticks);
DELETE FROM candles_15m_stored WHERE time >= (SELECT date_trunc('day', min(time), 'Asia/Kolkata') FROM ticks);
DELETE FROM candles_1d_stored WHERE time >= (SELECT date_trunc('day', min(time), 'Asia/Kolkata') FROM ticks);
-- From there on candles are computed until the aggregates have been refreshed for the first time.
UPDATE candle_progress
SET watermark = least(watermark, (SELECT date_trunc('day', min(time), 'Asia/Kolkata') FROM ticks));
UPDATE tick_days SET relation = NULL;

-- TimescaleDB makes chunks by itself; the days are noted for retention.
CREATE OR REPLACE FUNCTION ensure_tick_day(wanted date) RETURNS void LANGUAGE sql AS $$
    INSERT INTO tick_days (day) VALUES (wanted)
    ON CONFLICT (day) DO UPDATE SET created_at = now(), dropped_at = NULL WHERE tick_days.dropped_at IS NOT NULL;
$$;

-- A chunk lasts from 05:30 to 05:30 in India. No exchange trades after midnight, so a day's chunk goes with the day;
-- where something did, as on the simulated exchange, it goes with the next.
CREATE OR REPLACE FUNCTION drop_tick_day(unwanted date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    midnight timestamptz := (unwanted + 1)::timestamp AT TIME ZONE 'Asia/Kolkata';
    chunk_ends timestamptz := date_trunc('day', midnight, 'UTC') + INTERVAL '24 hours';
BEGIN
    IF NOT EXISTS (SELECT FROM tick_days WHERE day = unwanted AND dropped_at IS NULL) THEN
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM ticks WHERE time >= midnight AND time < chunk_ends) THEN
        chunk_ends := midnight;
    END IF;
    PERFORM drop_chunks('ticks', older_than => chunk_ends);
    UPDATE tick_days SET dropped_at = now() WHERE day = unwanted;
END
$$;
