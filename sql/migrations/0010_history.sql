-- The broker's own candles, what it was asked for, and which of ours they have replaced.

CREATE TABLE broker_candles (
    instrument_id bigint NOT NULL,
    minutes smallint NOT NULL,
    time timestamptz NOT NULL,
    broker text NOT NULL,
    open double precision NOT NULL,
    high double precision NOT NULL,
    low double precision NOT NULL,
    close double precision NOT NULL,
    volume bigint,
    open_interest bigint,
    fetched_at timestamptz NOT NULL,
    PRIMARY KEY (instrument_id, minutes, time, broker)
);
COMMENT ON COLUMN broker_candles.minutes IS 'The length of the candle; 1440 is a day.';
CREATE INDEX broker_candles_time ON broker_candles USING brin (time);

CREATE TABLE backfills (
    backfill_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    broker text NOT NULL,
    instrument_id bigint NOT NULL REFERENCES instruments,
    minutes smallint NOT NULL,
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    purpose text NOT NULL,
    asked_at timestamptz NOT NULL,
    answered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    outcome text NOT NULL CHECK (outcome IN ('complete', 'empty', 'before_listing', 'failed')),
    candles bigint NOT NULL DEFAULT 0,
    detail text
);
COMMENT ON TABLE backfills IS 'One row a request, written together with its candles: what need not be asked again.';
COMMENT ON COLUMN backfills.ends_at IS 'The first instant after the candles that were asked for.';
CREATE INDEX backfills_instrument ON backfills (instrument_id, minutes, broker, starts_at);
CREATE INDEX backfills_asked ON backfills (asked_at);

CREATE TABLE reconciliations (
    day date NOT NULL,
    instrument_id bigint NOT NULL REFERENCES instruments,
    broker text NOT NULL,
    verdict text NOT NULL CHECK (verdict IN ('agrees', 'repaired', 'backfilled', 'unsettled')),
    compared integer NOT NULL,
    agreeing integer NOT NULL,
    differing integer NOT NULL,
    missing integer NOT NULL,
    extra integer NOT NULL,
    not_compared integer NOT NULL,
    day_volume bigint,
    broker_day_volume bigint,
    unconfirmed timestamptz[] NOT NULL DEFAULT '{}',
    reconciled_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (day, instrument_id)
);
COMMENT ON TABLE reconciliations IS 'Days of instruments whose candles were compared with the broker''s after the close.';
COMMENT ON COLUMN reconciliations.unconfirmed IS 'Minutes of ours that could not be compared, or of which the broker has no candle: they stay provisional.';
COMMENT ON COLUMN reconciliations.verdict IS 'backfilled: there was no candle of ours that day; unsettled: there are some that the broker does not have, or it has none.';

CREATE TABLE candle_repairs (
    instrument_id bigint NOT NULL REFERENCES instruments,
    time timestamptz NOT NULL,
    broker text NOT NULL,
    open double precision NOT NULL,
    high double precision NOT NULL,
    low double precision NOT NULL,
    close double precision NOT NULL,
    volume bigint,
    open_interest bigint,
    replaced_open double precision,
    replaced_high double precision,
    replaced_low double precision,
    replaced_close double precision,
    replaced_volume bigint,
    replaced_open_interest bigint,
    replaced_trades bigint,
    fields text[] NOT NULL,
    reason text NOT NULL,
    repaired_by text NOT NULL,
    repaired_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (instrument_id, time)
);
COMMENT ON TABLE candle_repairs IS 'One-minute candles that readers get as the broker has them, and what they would get otherwise: NULL where there was none of ours.';

ALTER TABLE gaps ADD COLUMN repaired_at timestamptz;
ALTER TABLE gaps ADD COLUMN repair_attempts integer NOT NULL DEFAULT 0;
ALTER TABLE gaps ADD COLUMN repair_after timestamptz;
ALTER TABLE gaps ADD COLUMN repair_failure text;
COMMENT ON COLUMN gaps.repaired_by IS 'What has filled it, or why nothing had to or could: such a gap is not looked at again.';
COMMENT ON COLUMN gaps.repair_after IS 'Not to be tried again before, after an attempt that failed as repair_failure says.';
CREATE INDEX gaps_to_repair ON gaps (ended_at) WHERE repaired_by IS NULL;
