-- Ticks, one partition for each trading date of Asia/Kolkata.

CREATE TABLE ticks (
    time timestamptz NOT NULL,
    instrument_id bigint NOT NULL,
    seq bigint NOT NULL,
    last_price double precision NOT NULL,
    last_quantity bigint,
    average_price double precision,
    day_volume bigint,
    volume bigint,
    open_interest bigint,
    buy_quantity bigint,
    sell_quantity bigint,
    bid_price double precision,
    bid_quantity bigint,
    ask_price double precision,
    ask_quantity bigint,
    high double precision NOT NULL,
    low double precision NOT NULL,
    exchange_time timestamptz,
    received_at timestamptz NOT NULL,
    is_trade boolean NOT NULL
) PARTITION BY RANGE (time);

COMMENT ON COLUMN ticks.seq IS 'Orders by (event second, arrival): the epoch second of time in the high 32 bits, the stream''s arrival counter in the low 32.';
COMMENT ON COLUMN ticks.volume IS 'Traded since the previous tick of this instrument in this session; NULL where that is not known.';
COMMENT ON COLUMN ticks.high IS 'last_price, or the day''s high where that rose since the previous tick.';

-- Ascending, because batches come sorted by instrument; a btree reads backwards as well.
CREATE INDEX ticks_instrument_time ON ticks (instrument_id, time);
-- Without it every refresh of candles scans the whole day.
CREATE INDEX ticks_time ON ticks USING brin (time);

CREATE TABLE tick_days (
    day date PRIMARY KEY,
    relation regclass,
    created_at timestamptz NOT NULL DEFAULT now(),
    dropped_at timestamptz
);
COMMENT ON TABLE tick_days IS 'Which days have a partition of ticks; relation is NULL once dropped.';

CREATE FUNCTION ensure_tick_day(wanted date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    partition text := 'ticks_' || to_char(wanted, 'YYYYMMDD');
BEGIN
    IF EXISTS (SELECT FROM tick_days WHERE day = wanted AND dropped_at IS NULL) THEN
        RETURN;
    END IF;
    -- Two streams meet a new day at the same moment.
    PERFORM pg_advisory_xact_lock(hashtextextended('ensure_tick_day', 0));
    IF EXISTS (SELECT FROM tick_days WHERE day = wanted AND dropped_at IS NULL) THEN
        RETURN;
    END IF;
    -- Attaching, unlike CREATE TABLE ... PARTITION OF, does not lock out readers and writers.
    EXECUTE format('CREATE TABLE %I (LIKE ticks INCLUDING DEFAULTS)', partition);
    EXECUTE format(
        'ALTER TABLE ticks ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', partition,
        wanted::timestamp AT TIME ZONE 'Asia/Kolkata',
        (wanted + 1)::timestamp AT TIME ZONE 'Asia/Kolkata'
    );
    INSERT INTO tick_days (day, relation) VALUES (wanted, partition::regclass)
    ON CONFLICT (day) DO UPDATE SET relation = excluded.relation, created_at = now(), dropped_at = NULL;
END
$$;

CREATE FUNCTION drop_tick_day(unwanted date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    partition regclass := (SELECT relation FROM tick_days WHERE day = unwanted AND dropped_at IS NULL);
BEGIN
    IF partition IS NULL THEN
        RETURN;
    END IF;
    EXECUTE format('DROP TABLE %s', partition);
    UPDATE tick_days SET relation = NULL, dropped_at = now() WHERE day = unwanted;
END
$$;
