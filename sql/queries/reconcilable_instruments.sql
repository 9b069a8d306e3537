-- The instruments that have candles of a day or should have: what is needed to compare these with the broker's.
SELECT
    i.instrument_id,
    i.exchange || ':' || i.symbol AS name,
    i.exchange,
    i.segment,
    i.kind,
    i.underlying,
    EXISTS (
        SELECT FROM instruments AS d
        WHERE d.underlying = i.symbol AND d.exchange IN ('NFO', 'BFO')
        AND d.expiry >= (:starts_at AT TIME ZONE 'Asia/Kolkata')::date
    ) AS has_derivatives,
    i.tick_size,
    i.lot_size,
    EXISTS (
        SELECT FROM reconciliations AS r
        WHERE r.instrument_id = i.instrument_id AND r.day = (:starts_at AT TIME ZONE 'Asia/Kolkata')::date
    ) AS is_reconciled
FROM instruments AS i
LEFT JOIN subscriptions AS s ON s.instrument_id = i.instrument_id
WHERE (
    s.is_active AND s.since < :ends_at
    AND (i.expiry IS NULL OR i.expiry >= (:starts_at AT TIME ZONE 'Asia/Kolkata')::date)
    AND (i.delisted_on IS NULL OR i.delisted_on > (:starts_at AT TIME ZONE 'Asia/Kolkata')::date)
)
OR i.instrument_id IN (SELECT c.instrument_id FROM candles_1m AS c WHERE c.time >= :starts_at AND c.time < :ends_at)
ORDER BY i.instrument_id
