-- What instruments were before they changed, and ways to find them by any of their names.

CREATE TABLE instrument_history (
    instrument_id bigint NOT NULL REFERENCES instruments,
    valid_from date NOT NULL,
    valid_to date NOT NULL CHECK (valid_to > valid_from),
    symbol text NOT NULL,
    name text NOT NULL,
    underlying text,
    lot_size bigint,
    tick_size double precision,
    PRIMARY KEY (instrument_id, valid_to)
);
COMMENT ON TABLE instrument_history IS 'Superseded versions without a break between them; what holds since the last valid_to is in instruments.';
COMMENT ON COLUMN instrument_history.valid_to IS 'The first day of the next version.';
CREATE INDEX instrument_history_valid_to ON instrument_history (valid_to);
CREATE INDEX instrument_history_symbol ON instrument_history (upper(symbol));

-- People do not care about the case; the beginning of a symbol is searched for as well.
DROP INDEX instruments_symbol;
CREATE INDEX instruments_symbol ON instruments (upper(symbol) text_pattern_ops);
CREATE INDEX instruments_cash ON instruments (instrument_id) WHERE underlying IS NULL;
CREATE INDEX instruments_listed_on ON instruments USING brin (listed_on);

-- Versions of length zero mean nothing.
DELETE FROM broker_instruments WHERE valid_to <= valid_from;
CREATE INDEX broker_instruments_by_token ON broker_instruments (broker, token, valid_from);
CREATE INDEX broker_instruments_by_instrument ON broker_instruments (instrument_id, broker, valid_from);
CREATE INDEX broker_instruments_valid_from ON broker_instruments USING brin (valid_from);
CREATE INDEX broker_instruments_valid_to ON broker_instruments (valid_to) WHERE valid_to IS NOT NULL;
CREATE INDEX broker_instruments_symbol ON broker_instruments (upper(broker_symbol));
