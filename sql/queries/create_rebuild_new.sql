-- The ticks of the stretch as they should be.
CREATE TEMPORARY TABLE rebuild_new (LIKE ticks) ON COMMIT DROP
