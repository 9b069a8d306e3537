INSERT INTO archives (day, location, ticks, standby_ticks, candles, bytes, sha256, verified_at)
VALUES (:day, :location, :ticks, :standby_ticks, :candles, :bytes, :sha256, clock_timestamp())
ON CONFLICT (day) DO UPDATE SET
    location = excluded.location, ticks = excluded.ticks, standby_ticks = excluded.standby_ticks,
    candles = excluded.candles, bytes = excluded.bytes, sha256 = excluded.sha256, archived_at = now(),
    verified_at = excluded.verified_at, changed_at = NULL,
    -- Damage to the only copy is not mended by more files.
    damage = CASE WHEN EXISTS (SELECT FROM archive_files AS f WHERE f.day = :day AND f.is_dropped) THEN archives.damage END
