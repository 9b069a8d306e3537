-- Brokers that have a number keep it, and cost none of a sequence that ends; of two processes that add one at once, one does.
INSERT INTO feeds (broker)
SELECT wanted.broker FROM unnest(:brokers::text[]) AS wanted (broker)
WHERE NOT EXISTS (SELECT FROM feeds WHERE feeds.broker = wanted.broker)
ON CONFLICT (broker) DO NOTHING
