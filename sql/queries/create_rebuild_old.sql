-- The ticks of the stretch as they are stored.
CREATE TEMPORARY TABLE rebuild_old (LIKE ticks) ON COMMIT DROP
