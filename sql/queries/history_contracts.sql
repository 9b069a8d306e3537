-- The instruments whose history is wanted: those named, and those of the underlyings and segments; with none of these,
-- those subscribed. token is NULL where the broker offers it no longer; listed_on is known only of what was not in the
-- first master already.
WITH first AS MATERIALIZED (SELECT exchange, min(listed_on) AS listed_on FROM instruments GROUP BY exchange)
SELECT
    i.instrument_id,
    i.exchange || ':' || i.symbol AS name,
    i.exchange,
    i.segment,
    i.kind,
    i.expiry,
    b.token,
    CASE WHEN i.listed_on > first.listed_on THEN i.listed_on END AS listed_on
FROM instruments AS i
LEFT JOIN broker_instruments AS b
ON b.broker = :broker AND b.instrument_id = i.instrument_id AND b.valid_to IS NULL
LEFT JOIN subscriptions AS s ON s.instrument_id = i.instrument_id AND s.is_active
JOIN first ON first.exchange = i.exchange
WHERE i.instrument_id = ANY (:instrument_ids::bigint[])
OR (
    (:underlyings::text[] <> '{}' OR :segments::text[] <> '{}')
    AND (:underlyings::text[] = '{}' OR i.underlying = ANY (:underlyings::text[]))
    AND (:segments::text[] = '{}' OR i.segment = ANY (:segments::text[]))
    AND i.delisted_on IS NULL AND b.token IS NOT NULL
)
OR (
    s.instrument_id IS NOT NULL
    AND cardinality(:instrument_ids::bigint[]) = 0 AND :underlyings::text[] = '{}' AND :segments::text[] = '{}'
)
ORDER BY i.instrument_id
