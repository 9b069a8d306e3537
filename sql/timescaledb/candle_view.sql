-- The continuous aggregate, and candles that were stored before this server had TimescaleDB.
CREATE OR REPLACE VIEW :name AS
SELECT instrument_id, time, open, high, low, close, volume, open_interest, trades FROM :name_aggregate
UNION ALL
SELECT instrument_id, time, open, high, low, close, volume, open_interest, trades FROM :name_stored
