INSERT INTO ticks SELECT * FROM late_ticks;
