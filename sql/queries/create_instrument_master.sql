CREATE TEMPORARY TABLE instrument_master (
    token bigint NOT NULL,
    broker_symbol text NOT NULL,
    exchange text NOT NULL,
    segment text NOT NULL,
    exchange_token text NOT NULL,
    symbol text NOT NULL,
    name text,
    kind text NOT NULL,
    underlying text,
    expiry date,
    strike double precision,
    lot_size bigint,
    tick_size double precision
) ON COMMIT DROP
