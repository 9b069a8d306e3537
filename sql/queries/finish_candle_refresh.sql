-- What was computed becomes what is read, in the same transaction.
UPDATE candle_progress SET watermark = threshold, refreshed_at = now()
