-- The instruments, with the tokens that a broker offers them under now: NULL where it does not. listed_on is known only of
-- what was not in the first master of its exchange already.
CREATE OR REPLACE FUNCTION broker_contracts(wanted_broker text) RETURNS TABLE (
    instrument_id bigint, name text, exchange text, segment text, kind text, expiry date, token bigint, listed_on date,
    underlying text
) LANGUAGE sql STABLE AS $$
    WITH first AS MATERIALIZED (SELECT exchange, min(listed_on) AS listed_on FROM instruments GROUP BY exchange)
    SELECT
        i.instrument_id, i.exchange || ':' || i.symbol, i.exchange, i.segment, i.kind, i.expiry, b.token,
        CASE WHEN i.listed_on > first.listed_on THEN i.listed_on END,
        i.underlying
    FROM instruments AS i
    JOIN first ON first.exchange = i.exchange
    LEFT JOIN broker_instruments AS b
    ON b.broker = wanted_broker AND b.instrument_id = i.instrument_id AND b.valid_to IS NULL
$$
