SELECT count(*) FROM rebuild_new
