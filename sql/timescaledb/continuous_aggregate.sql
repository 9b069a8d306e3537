-- Makes one of the continuous aggregates from a SELECT of sql/candles.
--
-- It holds what was refreshed, and the view over it computes the rest. TimescaleDB can do that too, but then a refresh of
-- longer candles computes the rest of the shorter ones again for each batch of ten: minutes instead of a second.
CREATE MATERIALIZED VIEW :name_aggregate WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
:definition
WITH NO DATA
