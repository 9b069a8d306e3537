-- Only if the stored candles know all ticks before it. Runs under the exclusive candle lock, so that no
-- tick arrives between this and the drop; later ones can no longer change a candle.
UPDATE candle_progress SET ticks_dropped_before = greatest(ticks_dropped_before, :before)
WHERE watermark >= :before AND NOT EXISTS (
    SELECT FROM candle_invalidations
    WHERE time >= ticks_dropped_before AND time < :before
)
