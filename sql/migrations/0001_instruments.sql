-- Contracts for ever, what brokers call them and since when, and which of them are wanted.

CREATE TABLE instruments (
    instrument_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    exchange text NOT NULL,
    segment text NOT NULL,
    exchange_token text NOT NULL,
    symbol text NOT NULL,
    name text NOT NULL,
    kind text NOT NULL,
    underlying text,
    expiry date,
    strike double precision,
    lot_size bigint,
    tick_size double precision,
    listed_on date NOT NULL DEFAULT current_date,
    delisted_on date,
    -- Exchanges give a token to another contract once the first has expired.
    UNIQUE NULLS NOT DISTINCT (exchange, segment, exchange_token, kind, expiry, strike)
);
CREATE INDEX instruments_symbol ON instruments (symbol);
CREATE INDEX instruments_underlying ON instruments (underlying, expiry) WHERE underlying IS NOT NULL;

CREATE TABLE broker_instruments (
    broker text NOT NULL,
    token bigint NOT NULL,
    broker_symbol text NOT NULL,
    instrument_id bigint NOT NULL REFERENCES instruments,
    valid_from date NOT NULL DEFAULT current_date,
    valid_to date
);
CREATE UNIQUE INDEX broker_instruments_token ON broker_instruments (broker, token) WHERE valid_to IS NULL;
CREATE UNIQUE INDEX broker_instruments_instrument
ON broker_instruments (broker, instrument_id) WHERE valid_to IS NULL;

CREATE TABLE subscriptions (
    instrument_id bigint PRIMARY KEY REFERENCES instruments,
    mode text NOT NULL DEFAULT 'full' CHECK (mode IN ('ltp', 'quote', 'full')),
    is_active boolean NOT NULL DEFAULT true,
    since timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE subscription_version (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version bigint NOT NULL DEFAULT 0
);
INSERT INTO subscription_version DEFAULT VALUES;

CREATE FUNCTION bump_subscription_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE subscription_version SET version = version + 1;
    RETURN NULL;
END
$$;
CREATE TRIGGER subscriptions_changed AFTER INSERT OR UPDATE OR DELETE ON subscriptions
FOR EACH STATEMENT EXECUTE FUNCTION bump_subscription_version();
