CREATE TEMPORARY TABLE found_repairs (
    instrument_id bigint NOT NULL,
    time timestamptz NOT NULL,
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
    fields text NOT NULL,
    reason text NOT NULL
) ON COMMIT DROP
