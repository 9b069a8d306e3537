-- When a broker's feed was away and another has made the candles meanwhile; seconds are those within the time asked for.
SELECT
    stream, broker, covered_by, started_at, ended_at, cause,
    extract(
        epoch FROM least(coalesce(ended_at, now()), :to_time::timestamptz) - greatest(started_at, :from_time::timestamptz)
    )::double precision AS seconds
FROM gaps
WHERE covered_by IS NOT NULL AND started_at < :to_time AND (ended_at IS NULL OR ended_at > :from_time)
ORDER BY started_at, gap_id
