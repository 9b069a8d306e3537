-- What each broker says of a contract's lot and tick, so that two of them can be compared.

ALTER TABLE broker_instruments ADD COLUMN lot_size bigint;
ALTER TABLE broker_instruments ADD COLUMN tick_size double precision;
UPDATE broker_instruments AS b SET lot_size = i.lot_size, tick_size = i.tick_size
FROM instruments AS i WHERE i.instrument_id = b.instrument_id AND b.valid_to IS NULL;
