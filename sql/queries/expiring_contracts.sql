-- Contracts of the underlyings of everything subscribed, by when they expire. token is NULL where the broker
-- offers them no longer.
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
JOIN first ON first.exchange = i.exchange
WHERE i.expiry >= :first_expiry AND i.expiry <= :last_expiry
AND i.underlying IN (
    SELECT coalesce(s.underlying, names.underlying, s.symbol)
    FROM subscriptions
    JOIN instruments AS s USING (instrument_id)
    LEFT JOIN unnest(:indices::text[], :underlyings::text[]) AS names (symbol, underlying)
    ON names.symbol = s.symbol AND s.kind = 'INDEX'
    WHERE subscriptions.is_active
)
ORDER BY i.expiry, i.instrument_id
