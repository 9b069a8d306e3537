-- Makes one of the continuous aggregates from a SELECT of sql/candles.
CREATE MATERIALIZED VIEW :name_aggregate WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
:definition
WITH NO DATA
