-- What two feeds say of the same instruments; see the function.
SELECT m.*, i.exchange || ':' || i.symbol AS name
FROM feed_minutes(:from_time::timestamptz, :to_time::timestamptz) AS m
JOIN instruments AS i USING (instrument_id)
ORDER BY m.time, m.instrument_id
