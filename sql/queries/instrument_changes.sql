-- What the syncs of some days have changed at a broker. It is not recorded apart: it is how each day differs from the
-- one before. Only what is in :kinds is looked for; expired and added are thousands on some days.
WITH periods AS NOT MATERIALIZED (
    SELECT * FROM broker_instruments
    WHERE broker = :broker::text AND (valid_to > valid_from OR valid_to IS NULL)
),
changes AS (
    SELECT h.valid_to AS day, f.change, h.instrument_id, f.field, f.before, f.after
    FROM instrument_history AS h
    JOIN instruments AS i ON i.instrument_id = h.instrument_id
    CROSS JOIN LATERAL (
        SELECT symbol, name, underlying, lot_size, tick_size, valid_from FROM instrument_history
        WHERE instrument_id = h.instrument_id AND valid_from = h.valid_to
        UNION ALL
        SELECT i.symbol, i.name, i.underlying, i.lot_size, i.tick_size, NULL
        ORDER BY valid_from NULLS LAST LIMIT 1
    ) AS next
    CROSS JOIN LATERAL (
        VALUES
        ('renamed', 'symbol', h.symbol, next.symbol),
        ('changed', 'name', h.name, next.name),
        ('changed', 'underlying', h.underlying, next.underlying),
        ('changed', 'lot_size', h.lot_size::text, next.lot_size::text),
        ('changed', 'tick_size', h.tick_size::text, next.tick_size::text)
    ) AS f (change, field, before, after)
    WHERE h.valid_to >= :since::date AND h.valid_to <= :until::date AND f.before IS DISTINCT FROM f.after
    AND EXISTS (SELECT FROM periods AS p WHERE p.instrument_id = h.instrument_id)
    UNION ALL
    SELECT i.listed_on, 'added', i.instrument_id, NULL, NULL, NULL
    FROM instruments AS i
    JOIN periods AS p ON p.instrument_id = i.instrument_id AND p.valid_from = i.listed_on
    WHERE i.listed_on >= :since AND i.listed_on <= :until AND 'added' = ANY (:kinds::text[])
    UNION ALL
    SELECT
        p.valid_to, CASE WHEN i.expiry < p.valid_to THEN 'expired' ELSE 'delisted' END, p.instrument_id, NULL, NULL, NULL
    FROM periods AS p
    JOIN instruments AS i ON i.instrument_id = p.instrument_id
    WHERE p.valid_to >= :since AND p.valid_to <= :until
    AND NOT EXISTS (
        SELECT FROM periods AS n WHERE n.instrument_id = p.instrument_id AND n.valid_from = p.valid_to
    )
    UNION ALL
    SELECT p.valid_from, 'relisted', p.instrument_id, NULL, NULL, NULL
    FROM periods AS p
    CROSS JOIN LATERAL (
        SELECT max(o.valid_to) AS ended_on FROM periods AS o
        WHERE o.instrument_id = p.instrument_id AND o.valid_from < p.valid_from
    ) AS previous
    WHERE p.valid_from >= :since AND p.valid_from <= :until AND previous.ended_on < p.valid_from
    UNION ALL
    SELECT p.valid_from, 'token_reused', p.instrument_id, 'token ' || p.token, i.exchange || ':' || i.symbol, NULL
    FROM periods AS p
    CROSS JOIN LATERAL (
        SELECT o.instrument_id FROM periods AS o
        WHERE o.token = p.token AND o.valid_from < p.valid_from
        ORDER BY o.valid_from DESC LIMIT 1
    ) AS previous
    JOIN instruments AS i ON i.instrument_id = previous.instrument_id
    WHERE p.valid_from >= :since AND p.valid_from <= :until AND previous.instrument_id <> p.instrument_id
    AND 'token_reused' = ANY (:kinds)
)
SELECT c.day, c.change, i.exchange || ':' || i.symbol AS name, i.kind, c.instrument_id, c.field, c.before,
    CASE WHEN c.change = 'token_reused' THEN i.exchange || ':' || i.symbol ELSE c.after END AS after
FROM changes AS c
JOIN instruments AS i ON i.instrument_id = c.instrument_id
WHERE c.change = ANY (:kinds)
ORDER BY c.day DESC, array_position(:kinds, c.change), name, c.field
