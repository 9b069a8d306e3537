-- How the candles of a day compared with the broker's; unexplained are those that were repaired outside recorded gaps.
SELECT
    i.exchange || ':' || i.symbol AS name,
    r.verdict,
    r.compared,
    r.differing,
    r.missing,
    r.extra,
    (
        SELECT count(*) FROM candle_repairs AS c
        WHERE c.instrument_id = r.instrument_id AND c.time >= :starts_at AND c.time < :ends_at
        AND NOT EXISTS (
            SELECT FROM gaps AS g
            WHERE g.started_at < c.time + INTERVAL '1 minute' AND (g.ended_at IS NULL OR g.ended_at > c.time)
            AND (g.instruments = '{}' OR c.instrument_id = ANY (g.instruments))
        )
    ) AS unexplained
FROM reconciliations AS r
JOIN instruments AS i USING (instrument_id)
WHERE r.day = (:starts_at AT TIME ZONE 'Asia/Kolkata')::date AND :ends_at > :starts_at
ORDER BY r.instrument_id
