-- Subscriptions keep their place among the streams, and the numbers of brokers in ticks begin anew.

ALTER TABLE subscriptions ADD COLUMN stream_number integer;
COMMENT ON COLUMN subscriptions.stream_number IS 'Which of the preferred broker''s streams carries it, from 0, kept while it is carried; NULL until it is placed. See find_places.';

-- Each new connection of a writer used to take numbers that it then had no use for, of 32,767. The next ones come from where
-- most are free in a row: after the last broker's, unless that came late.
SELECT setval(pg_get_serial_sequence('feeds', 'feed'), feed + 1, false)
FROM (
    SELECT feed, lead(feed, 1, 32768) OVER (ORDER BY feed) - feed AS free
    FROM (SELECT feed::integer FROM feeds UNION ALL SELECT 0) AS taken
) AS after_each
ORDER BY free DESC, feed
LIMIT 1;
