-- No broker offers it any more.
UPDATE instruments AS i SET delisted_on = :today
WHERE i.delisted_on IS NULL AND NOT EXISTS (
    SELECT FROM broker_instruments AS b WHERE b.instrument_id = i.instrument_id AND b.valid_to IS NULL
)
