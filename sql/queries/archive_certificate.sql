SELECT
    day, location, ticks, standby_ticks, candles, bytes, sha256, archived_at, verified_at, changed_at, damage
FROM archives WHERE day = :day
