-- The numbers that stand for some brokers in ticks.feed.
SELECT broker, feed FROM feeds WHERE broker = ANY (:brokers::text[])
