-- How the contracts that two brokers offer go together: the same, at one of them alone, or described otherwise.
--
-- The same contract has the same exchange, segment and token of the exchange, and the same expiry and strike. Where only the
-- expiry differs it is counted as a conflict and not as one at each broker alone.
WITH offered AS (
    SELECT
        i.exchange, i.segment, i.exchange_token, i.kind, i.strike,
        count(*) = 2 AS is_matched,
        bool_or(b.broker = :first) AS at_first,
        max(b.lot_size) IS DISTINCT FROM min(b.lot_size) AS lot_differs,
        max(b.tick_size) IS DISTINCT FROM min(b.tick_size) AS tick_differs
    FROM broker_instruments AS b
    JOIN instruments AS i USING (instrument_id)
    WHERE b.valid_to IS NULL AND b.broker IN (:first, :second)
    GROUP BY i.instrument_id
),
by_token AS (
    SELECT
        exchange, segment,
        count(*) FILTER (WHERE is_matched) AS matched,
        count(*) FILTER (WHERE NOT is_matched AND at_first) AS only_first,
        count(*) FILTER (WHERE NOT is_matched AND NOT at_first) AS only_second,
        count(*) FILTER (WHERE is_matched AND lot_differs) AS lot_differs,
        count(*) FILTER (WHERE is_matched AND tick_differs) AS tick_differs
    FROM offered
    GROUP BY exchange, segment, exchange_token, kind, strike
)
SELECT
    exchange,
    segment,
    sum(matched)::bigint AS matched,
    sum(only_first - least(only_first, only_second))::bigint AS only_first,
    sum(only_second - least(only_first, only_second))::bigint AS only_second,
    sum(lot_differs)::bigint AS lot_differs,
    sum(tick_differs)::bigint AS tick_differs,
    sum(least(only_first, only_second))::bigint AS expiry_differs
FROM by_token
GROUP BY exchange, segment
ORDER BY exchange, segment
