-- How many contracts of each exchange a broker offered at its last sync and should still, and how many it offers now.
SELECT exchange, count(*) FILTER (WHERE is_known) AS known, count(*) FILTER (WHERE NOT is_known) AS offered
FROM (
    SELECT i.exchange, true AS is_known
    FROM broker_instruments AS b
    JOIN instruments AS i ON i.instrument_id = b.instrument_id
    WHERE b.broker = :broker AND b.valid_to IS NULL AND (i.expiry IS NULL OR i.expiry >= :today)
    UNION ALL
    SELECT exchange, false FROM instrument_master
) AS both_sides
GROUP BY exchange
ORDER BY exchange
