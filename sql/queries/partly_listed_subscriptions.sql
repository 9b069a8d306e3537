-- Active subscriptions that some of these brokers offer and others do not, with each that does not.
SELECT i.exchange || ':' || i.symbol AS symbol, wanted.broker AS missing_at
FROM placed_subscriptions(:brokers::text[], 1) AS p
JOIN instruments AS i ON i.instrument_id = p.instrument_id
CROSS JOIN unnest(:brokers) AS wanted (broker)
WHERE NOT EXISTS (
    SELECT FROM broker_instruments AS b
    WHERE b.instrument_id = p.instrument_id AND b.broker = wanted.broker AND b.valid_to IS NULL
)
ORDER BY symbol
