-- The instruments whose history is wanted: those named, and those of the underlyings and segments that are offered; with none
-- of these, those subscribed.
SELECT c.instrument_id, c.name, c.exchange, c.segment, c.kind, c.expiry, c.token, c.listed_on
FROM broker_contracts(:broker) AS c
LEFT JOIN subscriptions AS s ON s.instrument_id = c.instrument_id AND s.is_active
WHERE c.instrument_id = ANY (:instrument_ids::bigint[])
OR (
    (:underlyings::text[] <> '{}' OR :segments::text[] <> '{}')
    AND (:underlyings::text[] = '{}' OR c.underlying = ANY (:underlyings::text[]))
    AND (:segments::text[] = '{}' OR c.segment = ANY (:segments::text[]))
    AND c.token IS NOT NULL
)
OR (
    s.instrument_id IS NOT NULL
    AND cardinality(:instrument_ids::bigint[]) = 0 AND :underlyings::text[] = '{}' AND :segments::text[] = '{}'
)
ORDER BY c.instrument_id
