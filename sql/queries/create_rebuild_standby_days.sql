-- Days of which a rebuild deletes what stood by.
CREATE TEMPORARY TABLE rebuild_standby_days (day date) ON COMMIT DROP
