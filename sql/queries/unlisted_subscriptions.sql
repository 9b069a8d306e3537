-- Active subscriptions that no token of any of these brokers stands for.
SELECT i.exchange || ':' || i.symbol AS symbol
FROM subscriptions AS s
JOIN instruments AS i ON i.instrument_id = s.instrument_id
WHERE s.is_active AND NOT EXISTS (
    SELECT FROM broker_instruments AS b
    WHERE b.instrument_id = s.instrument_id AND b.broker = ANY (:brokers::text[]) AND b.valid_to IS NULL
)
ORDER BY symbol
