INSERT INTO rebuild_frames SELECT unnest(:times::timestamptz[]), :stood_by_before
ON CONFLICT (received_at) DO UPDATE SET stood_by_before = false WHERE NOT excluded.stood_by_before
