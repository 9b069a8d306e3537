-- How many instruments a broker offers, and how many it took off the list today before they expired.
SELECT
    (SELECT count(*) FROM broker_instruments WHERE broker = :broker AND valid_to IS NULL) AS listed,
    count(DISTINCT b.instrument_id) AS vanished
FROM broker_instruments AS b
JOIN instruments AS i ON i.instrument_id = b.instrument_id
WHERE b.broker = :broker AND b.valid_to = :today AND (i.expiry IS NULL OR i.expiry >= b.valid_to)
AND NOT EXISTS (
    SELECT FROM broker_instruments AS n
    WHERE n.broker = :broker AND n.instrument_id = b.instrument_id AND n.valid_to IS NULL
)
