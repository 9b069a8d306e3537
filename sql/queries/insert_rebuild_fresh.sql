INSERT INTO ticks SELECT * FROM rebuild_fresh
