CREATE TEMPORARY TABLE fetched_candles (LIKE broker_candles) ON COMMIT DROP
