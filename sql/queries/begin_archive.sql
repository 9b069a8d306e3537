-- Only once each tick of the day that is written later is known as a late one. Runs under the exclusive candle lock, so that
-- nobody is writing one who has not seen this row.
INSERT INTO archive_work (day)
SELECT :day FROM candle_progress WHERE threshold >= :ends
ON CONFLICT (day) DO UPDATE SET begun_at = now(), changed_at = NULL
