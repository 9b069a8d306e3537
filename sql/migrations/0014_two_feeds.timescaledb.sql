-- What the second broker sends is a hypertable like the ticks, dropped and compressed with them.

CREATE TABLE standby_ticks_new (LIKE standby_ticks INCLUDING DEFAULTS INCLUDING COMMENTS);
SELECT create_hypertable('standby_ticks_new', by_range('time', INTERVAL '1 day'), create_default_indexes => false);
INSERT INTO standby_ticks_new SELECT * FROM standby_ticks;
DROP TABLE standby_ticks;
ALTER TABLE standby_ticks_new RENAME TO standby_ticks;
COMMENT ON TABLE standby_ticks IS 'What the second broker sent while the preferred one made the candles: compared with it, and in no candle.';
CREATE INDEX standby_ticks_instrument_time ON standby_ticks (instrument_id, time);
CREATE INDEX standby_ticks_time ON standby_ticks USING brin (time);
ALTER TABLE standby_ticks SET (
    timescaledb.enable_columnstore,
    timescaledb.segmentby = 'instrument_id',
    timescaledb.orderby = 'time, seq'
);

CREATE OR REPLACE FUNCTION ensure_tick_day(wanted date) RETURNS void LANGUAGE sql AS $$
    INSERT INTO tick_days (day) VALUES (wanted)
    ON CONFLICT (day) DO UPDATE SET created_at = now(), dropped_at = NULL WHERE tick_days.dropped_at IS NOT NULL;
$$;

-- See 0007_timescaledb.timescaledb.sql for where a day's chunk ends.
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
    PERFORM drop_chunks('standby_ticks', older_than => chunk_ends);
    UPDATE tick_days SET dropped_at = now() WHERE day = unwanted;
END
$$;
