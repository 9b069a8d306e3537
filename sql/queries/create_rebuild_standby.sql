-- What the feed that stood by sent in the stretch, as it should be.
CREATE TEMPORARY TABLE rebuild_standby (LIKE standby_ticks) ON COMMIT DROP
