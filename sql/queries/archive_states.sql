-- Days of ticks that something is to be done about: kept though their time is over and no archive has them, or in an archive that
-- is damaged or outdated.
SELECT coalesce(d.day, a.day) AS day, a.day IS NOT NULL AS is_archived, a.changed_at, a.damage
FROM (SELECT day FROM tick_days WHERE dropped_at IS NULL AND day < :before::date) AS d
FULL JOIN archives AS a ON a.day = d.day
WHERE a.day IS NULL OR a.changed_at IS NOT NULL OR a.damage IS NOT NULL
ORDER BY 1
