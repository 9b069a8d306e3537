CREATE TEMPORARY TABLE fetched_candles (
    time timestamptz NOT NULL,
    open double precision NOT NULL,
    high double precision NOT NULL,
    low double precision NOT NULL,
    close double precision NOT NULL,
    volume bigint,
    open_interest bigint
) ON COMMIT DROP
