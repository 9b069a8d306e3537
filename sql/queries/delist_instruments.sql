-- No broker offers it any more. Returns how many had expired, and how many vanished before.
WITH gone AS (
    UPDATE instruments AS i SET delisted_on = :today
    WHERE i.delisted_on IS NULL AND NOT EXISTS (
        SELECT FROM broker_instruments AS b WHERE b.instrument_id = i.instrument_id AND b.valid_to IS NULL
    )
    RETURNING i.expiry
)
SELECT
    count(*) FILTER (WHERE expiry < :today) AS expired,
    count(*) FILTER (WHERE expiry >= :today OR expiry IS NULL) AS delisted
FROM gone
