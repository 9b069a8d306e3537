-- Of one stream, those with ticks numbered from :first up to before :until.
SELECT first_arrival, written_at, payload
FROM tick_batches
WHERE stream = :stream AND arrivals > :first AND first_arrival < :until
ORDER BY arrivals
LIMIT 4
