-- How many instruments a broker offers, and how many were taken off the list today before they expired.
SELECT
    (SELECT count(*) FROM broker_instruments WHERE broker = :broker AND valid_to IS NULL) AS listed,
    count(*) AS vanished
FROM instruments
WHERE delisted_on = :today AND (expiry IS NULL OR expiry >= delisted_on)
