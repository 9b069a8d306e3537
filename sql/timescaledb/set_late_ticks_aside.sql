-- Before 0007_timescaledb.timescaledb.sql, which takes the day of the oldest tick for the first of which every candle can
-- be computed: that holds without the ticks that were restored, or came late, of days that were dropped.
CREATE TEMPORARY TABLE late_ticks ON COMMIT DROP AS
SELECT * FROM ticks WHERE time < (SELECT ticks_dropped_before FROM candle_progress);
DELETE FROM ticks WHERE time < (SELECT ticks_dropped_before FROM candle_progress);
