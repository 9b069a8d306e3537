-- The invalidations that this refresh deals with.
CREATE TEMPORARY TABLE candles_changed (instrument_id bigint NOT NULL, time timestamptz NOT NULL) ON COMMIT DROP
