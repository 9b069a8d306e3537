INSERT INTO candle_invalidations (instrument_id, time)
SELECT * FROM unnest(:instrument_ids::bigint[], :times::timestamptz[])
