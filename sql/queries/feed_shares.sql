-- How many ticks of a time came from each broker, and how many it sent while another made the candles.
SELECT coalesce(f.broker, 'not known') AS broker, sum(ticks)::bigint AS ticks, sum(standby_ticks)::bigint AS standby_ticks
FROM (
    SELECT feed, count(*) AS ticks, 0 AS standby_ticks FROM ticks
    WHERE time >= :from_time AND time < :to_time GROUP BY feed
    UNION ALL
    SELECT feed, 0, count(*) FROM standby_ticks
    WHERE time >= :from_time AND time < :to_time GROUP BY feed
) AS counted
LEFT JOIN feeds AS f USING (feed)
GROUP BY 1
ORDER BY ticks DESC, broker
