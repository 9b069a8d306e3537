SELECT DISTINCT broker FROM broker_instruments WHERE valid_to IS NULL ORDER BY broker
