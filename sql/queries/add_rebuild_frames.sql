INSERT INTO rebuild_frames SELECT unnest(:times::timestamptz[]) ON CONFLICT DO NOTHING
