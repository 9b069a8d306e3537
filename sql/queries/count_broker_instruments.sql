SELECT count(*) FROM broker_instruments WHERE broker = :broker AND valid_to IS NULL
