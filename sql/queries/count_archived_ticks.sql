-- Of a day's ticks: how much there is of each instrument.
SELECT
    coalesce(i.exchange, 'UNKNOWN') AS exchange, counted.*
FROM (
    SELECT instrument_id, count(*) AS rows, sum(volume)::text AS volume, sum(abs(last_price)) FILTER (WHERE abs(last_price) < 1e15) AS price
    FROM ticks WHERE time >= :start::timestamptz AND time < :ends::timestamptz
    GROUP BY instrument_id
) AS counted
LEFT JOIN instruments AS i USING (instrument_id)
ORDER BY exchange, instrument_id
