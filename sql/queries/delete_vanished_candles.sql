-- A refresh stores candles anew and deletes none. Where a minute has lost all its trades, its candle goes, and
-- the longer ones that it is part of, which the refresh makes again of what is left.
WITH vanished AS (
    SELECT m.instrument_id, m.minute FROM (
        SELECT DISTINCT instrument_id, date_trunc('minute', time) AS minute FROM rebuild_gone WHERE is_trade
    ) AS m
    WHERE NOT EXISTS (
        SELECT FROM ticks AS t
        WHERE t.instrument_id = m.instrument_id AND t.is_trade
        AND t.time >= m.minute AND t.time < m.minute + interval '1 minute'
    )
), of_1m AS (
    DELETE FROM candles_1m_stored AS c USING vanished AS v
    WHERE c.instrument_id = v.instrument_id AND c.time = v.minute
), of_5m AS (
    DELETE FROM candles_5m_stored AS c USING vanished AS v
    WHERE c.instrument_id = v.instrument_id
    AND c.time = date_bin('5 minutes', v.minute, TIMESTAMPTZ '2000-01-03 00:00:00+00')
), of_15m AS (
    DELETE FROM candles_15m_stored AS c USING vanished AS v
    WHERE c.instrument_id = v.instrument_id
    AND c.time = date_bin('15 minutes', v.minute, TIMESTAMPTZ '2000-01-03 00:00:00+00')
)
DELETE FROM candles_1d_stored AS c USING vanished AS v
WHERE c.instrument_id = v.instrument_id AND c.time = date_trunc('day', v.minute, 'Asia/Kolkata')
