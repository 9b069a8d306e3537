ANALYZE rebuild_frames, rebuild_new
