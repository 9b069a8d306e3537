SELECT count(*), count(DISTINCT seq & 4294967295) FROM rebuild_old
