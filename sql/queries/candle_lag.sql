-- How far the stored candles are behind the newest tick; NULL before the first tick, or if there is nothing stored
-- because the first ticks have only just come.
SELECT CASE
    WHEN isfinite(p.watermark) THEN extract(epoch FROM j.newest - p.watermark)::double precision
    WHEN j.newest < now() - INTERVAL '3 minutes' THEN extract(epoch FROM now() - j.newest)::double precision
END AS behind_seconds
FROM candle_progress AS p
CROSS JOIN (SELECT max(last_event_at) AS newest FROM journal_positions) AS j
