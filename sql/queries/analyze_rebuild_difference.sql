ANALYZE rebuild_gone, rebuild_fresh
