-- Our one-minute candles of some instruments, and whether packets may have been missed in them.
SELECT
    c.instrument_id, c.time, c.open, c.high, c.low, c.close, c.volume, c.open_interest, c.trades,
    EXISTS (
        SELECT FROM gaps AS g
        WHERE g.started_at < c.time + INTERVAL '1 minute' AND (g.ended_at IS NULL OR g.ended_at > c.time)
        AND g.covered_by IS NULL AND (g.instruments = '{}' OR c.instrument_id = ANY (g.instruments))
    ) AS has_gap
FROM candles_1m AS c
WHERE c.instrument_id = ANY (:instrument_ids::bigint[]) AND c.time >= :starts_at AND c.time < :ends_at
