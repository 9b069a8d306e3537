-- Whether anything traded in the minutes that are stored, and how many candles there are.
SELECT
    (SELECT count(*) FROM candles_1m WHERE time >= :starts_at AND time < :ends_at) AS candles,
    EXISTS (
        SELECT FROM ticks
        WHERE time >= :starts_at AND time < :ends_at AND is_trade
        AND time < (SELECT watermark FROM candle_progress)
    ) AS traded
