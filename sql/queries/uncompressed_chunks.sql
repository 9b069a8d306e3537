-- Chunks of ticks that the server should have compressed by now. It does so once a day, and what was restored or came late
-- is in a chunk of its own until then.
SELECT hypertable_name || ' of ' || (range_start AT TIME ZONE 'Asia/Kolkata')::date AS name
FROM timescaledb_information.chunks
WHERE NOT is_compressed
AND range_end < now() - make_interval(days => :after_days::int + 2)
AND chunk_creation_time < now() - INTERVAL '2 days'
AND format('%I.%I', hypertable_schema, hypertable_name)::regclass IN ('ticks'::regclass, 'standby_ticks'::regclass)
ORDER BY range_start, hypertable_name
