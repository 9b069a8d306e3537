-- Every archived day, the newest first; and whether its ticks are in the database as well.
SELECT
    a.day, a.ticks, a.standby_ticks, a.candles, a.bytes, a.location, a.sha256, a.archived_at, a.verified_at, a.changed_at,
    a.damage, a.keep_until, d.day IS NOT NULL AND d.dropped_at IS NULL AS is_stored
FROM archives AS a
LEFT JOIN tick_days AS d USING (day)
ORDER BY a.day DESC
