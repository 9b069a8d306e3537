-- Two brokers at once: whose tick it is, what the one that stands by has sent, and which gaps it has covered.

CREATE TABLE feeds (
    feed smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    broker text NOT NULL UNIQUE
);
COMMENT ON TABLE feeds IS 'Which broker a number in ticks.feed means.';

ALTER TABLE ticks ADD COLUMN feed smallint;
COMMENT ON COLUMN ticks.feed IS 'Which broker sent it, see feeds; NULL of what is older than that table.';

CREATE TABLE standby_ticks (LIKE ticks INCLUDING DEFAULTS INCLUDING COMMENTS) PARTITION BY RANGE (time);
COMMENT ON TABLE standby_ticks IS 'What the second broker sent while the preferred one made the candles: compared with it, and in no candle.';
CREATE INDEX standby_ticks_instrument_time ON standby_ticks (instrument_id, time);
CREATE INDEX standby_ticks_time ON standby_ticks USING brin (time);

CREATE FUNCTION create_tick_partition(parent text, day date) RETURNS regclass LANGUAGE plpgsql AS $$
DECLARE
    partition text := parent || '_' || to_char(day, 'YYYYMMDD');
BEGIN
    -- Attaching, unlike CREATE TABLE ... PARTITION OF, does not lock out readers and writers.
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS)', partition, parent);
    EXECUTE format(
        'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, partition,
        day::timestamp AT TIME ZONE 'Asia/Kolkata', (day + 1)::timestamp AT TIME ZONE 'Asia/Kolkata'
    );
    RETURN partition::regclass;
END
$$;

CREATE OR REPLACE FUNCTION ensure_tick_day(wanted date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    partition regclass;
BEGIN
    IF EXISTS (SELECT FROM tick_days WHERE day = wanted AND dropped_at IS NULL) THEN
        RETURN;
    END IF;
    -- Two streams meet a new day at the same moment.
    PERFORM pg_advisory_xact_lock(hashtextextended('ensure_tick_day', 0));
    IF EXISTS (SELECT FROM tick_days WHERE day = wanted AND dropped_at IS NULL) THEN
        RETURN;
    END IF;
    partition := create_tick_partition('ticks', wanted);
    PERFORM create_tick_partition('standby_ticks', wanted);
    INSERT INTO tick_days (day, relation) VALUES (wanted, partition)
    ON CONFLICT (day) DO UPDATE SET relation = excluded.relation, created_at = now(), dropped_at = NULL;
END
$$;

CREATE OR REPLACE FUNCTION drop_tick_day(unwanted date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    partition regclass := (SELECT relation FROM tick_days WHERE day = unwanted AND dropped_at IS NULL);
BEGIN
    IF partition IS NULL THEN
        RETURN;
    END IF;
    EXECUTE format('DROP TABLE %s', partition);
    EXECUTE format('DROP TABLE IF EXISTS %I', 'standby_ticks_' || to_char(unwanted, 'YYYYMMDD'));
    UPDATE tick_days SET relation = NULL, dropped_at = now() WHERE day = unwanted;
END
$$;

-- Of the days that there are already; TimescaleDB's have no partition.
DO $$
BEGIN
    PERFORM create_tick_partition('standby_ticks', day) FROM tick_days WHERE relation IS NOT NULL;
END
$$;

ALTER TABLE gaps ADD COLUMN broker text;
ALTER TABLE gaps ADD COLUMN covered_by text;
COMMENT ON COLUMN gaps.broker IS 'Of whose feed packets may have been missed.';
COMMENT ON COLUMN gaps.covered_by IS 'The broker whose feed has made the candles meanwhile: nothing is missing in them.';
UPDATE gaps SET broker = streams.broker FROM streams WHERE streams.stream = gaps.stream;
DROP INDEX gaps_open;
CREATE UNIQUE INDEX gaps_open ON gaps (stream, broker, (covered_by IS NULL)) NULLS NOT DISTINCT WHERE ended_at IS NULL;

ALTER TABLE streams ADD COLUMN feeds jsonb NOT NULL DEFAULT '[]';
COMMENT ON COLUMN streams.feeds IS 'For each broker of the stream, the preferred one first: broker, state, detail, frames, reconnects.';
