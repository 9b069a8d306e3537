-- The broker's one-minute candles of some instruments, and whether packets may have been missed in them.
SELECT
    b.instrument_id, b.time, b.open, b.high, b.low, b.close, b.volume, b.open_interest, b.fetched_at,
    EXISTS (
        SELECT FROM gaps AS g
        WHERE g.started_at < b.time + INTERVAL '1 minute' AND (g.ended_at IS NULL OR g.ended_at > b.time)
        AND g.covered_by IS NULL AND (g.instruments = '{}' OR b.instrument_id = ANY (g.instruments))
    ) AS has_gap
FROM broker_candles AS b
WHERE b.instrument_id = ANY (:instrument_ids::bigint[]) AND b.minutes = 1 AND b.broker = :broker
AND b.time >= :starts_at AND b.time < :ends_at
