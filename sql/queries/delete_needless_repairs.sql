-- Of candles that agree with the broker's by now, as after ticks were built anew.
DELETE FROM candle_repairs AS r
WHERE r.instrument_id = ANY (:instrument_ids::bigint[]) AND r.time >= :starts_at AND r.time < :ends_at
AND NOT EXISTS (SELECT FROM found_repairs AS f WHERE f.instrument_id = r.instrument_id AND f.time = r.time)
