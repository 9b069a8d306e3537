-- What is stored of the candles: the continuous aggregate, and what there was before this server had TimescaleDB.
CREATE OR REPLACE VIEW :name_kept AS
SELECT instrument_id, time, open, high, low, close, volume, open_interest, trades FROM :name_aggregate
UNION ALL
SELECT instrument_id, time, open, high, low, close, volume, open_interest, trades FROM :name_stored
