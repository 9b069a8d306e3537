-- Contracts of the underlyings of everything subscribed, by when they expire.
SELECT c.instrument_id, c.name, c.exchange, c.segment, c.kind, c.expiry, c.token, c.listed_on
FROM broker_contracts(:broker) AS c
WHERE c.expiry >= :first_expiry AND c.expiry <= :last_expiry
AND c.underlying IN (
    SELECT coalesce(s.underlying, names.underlying, s.symbol)
    FROM subscriptions
    JOIN instruments AS s USING (instrument_id)
    LEFT JOIN unnest(:indices::text[], :underlyings::text[]) AS names (symbol, underlying)
    ON names.symbol = s.symbol AND s.kind = 'INDEX'
    WHERE subscriptions.is_active
)
ORDER BY c.expiry, c.instrument_id
