-- Whether anything traded in the minutes that are stored, and how many candles there are of them.
WITH stored AS (SELECT least(:ends_at, watermark) AS ends_at FROM candle_progress)
SELECT
    (
        SELECT count(*) FROM candles_1m
        WHERE time >= :starts_at AND time < (SELECT ends_at FROM stored)
    ) AS candles,
    EXISTS (
        SELECT FROM ticks
        WHERE time >= :starts_at AND time < (SELECT ends_at FROM stored) AND is_trade
    ) AS traded
