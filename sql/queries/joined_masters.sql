-- How the contracts that two brokers offer go together: the same, at one of them alone, or described otherwise.
--
-- The same contract has the same exchange, segment and token of the exchange, and the same expiry and strike. Where only the
-- expiry differs it is counted as a conflict and not as one at each broker alone.
WITH offered AS (
    SELECT
        i.instrument_id, i.exchange, i.segment, i.exchange_token, i.kind, i.strike, i.expiry,
        bool_or(b.broker = :first) AS at_first,
        bool_or(b.broker = :second) AS at_second,
        max(b.lot_size) IS DISTINCT FROM min(b.lot_size) AS lot_differs,
        max(b.tick_size) IS DISTINCT FROM min(b.tick_size) AS tick_differs
    FROM broker_instruments AS b
    JOIN instruments AS i USING (instrument_id)
    WHERE b.valid_to IS NULL AND b.broker IN (:first, :second)
    GROUP BY i.instrument_id
),
expiries AS (
    SELECT a.instrument_id AS first_id, b.instrument_id AS second_id
    FROM offered AS a
    JOIN offered AS b
    ON (a.exchange, a.segment, a.exchange_token, a.kind) = (b.exchange, b.segment, b.exchange_token, b.kind)
    AND a.strike IS NOT DISTINCT FROM b.strike AND a.expiry <> b.expiry
    WHERE a.at_first AND NOT a.at_second AND b.at_second AND NOT b.at_first
)
SELECT
    exchange,
    segment,
    count(*) FILTER (WHERE at_first AND at_second) AS matched,
    count(*) FILTER (WHERE NOT at_second AND instrument_id NOT IN (SELECT first_id FROM expiries)) AS only_first,
    count(*) FILTER (WHERE NOT at_first AND instrument_id NOT IN (SELECT second_id FROM expiries)) AS only_second,
    count(*) FILTER (WHERE at_first AND at_second AND lot_differs) AS lot_differs,
    count(*) FILTER (WHERE at_first AND at_second AND tick_differs) AS tick_differs,
    count(*) FILTER (WHERE instrument_id IN (SELECT first_id FROM expiries)) AS expiry_differs
FROM offered
GROUP BY exchange, segment
ORDER BY exchange, segment
