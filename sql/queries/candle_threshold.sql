-- Microseconds since 1970; a threshold not yet set is before every tick.
SELECT CASE WHEN isfinite(threshold) THEN (extract(epoch FROM threshold) * 1000000)::bigint
    ELSE -9223372036854775807 END
FROM candle_progress
