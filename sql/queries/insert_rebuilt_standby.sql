INSERT INTO standby_ticks SELECT * FROM rebuild_standby
