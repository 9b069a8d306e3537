-- Contracts of which two brokers say different lots or ticks.
SELECT
    i.exchange || ':' || i.symbol AS name, a.lot_size AS first_lot, b.lot_size AS second_lot,
    a.tick_size AS first_tick, b.tick_size AS second_tick
FROM broker_instruments AS a
JOIN broker_instruments AS b ON b.instrument_id = a.instrument_id AND b.broker = :second AND b.valid_to IS NULL
JOIN instruments AS i ON i.instrument_id = a.instrument_id
WHERE a.broker = :first AND a.valid_to IS NULL
AND (a.lot_size, a.tick_size) IS DISTINCT FROM (b.lot_size, b.tick_size)
ORDER BY name
LIMIT :most::bigint
