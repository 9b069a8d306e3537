SELECT min(received_at), max(received_at) FROM rebuild_frames
