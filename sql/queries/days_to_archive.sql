-- Days whose ticks are stored and are in no archive as they are, the oldest first.
SELECT d.day FROM tick_days AS d
LEFT JOIN archives AS a ON a.day = d.day AND a.location = :location AND a.changed_at IS NULL AND a.damage IS NULL
WHERE d.dropped_at IS NULL AND a.day IS NULL AND d.day < :before::date
AND (
    EXISTS (SELECT FROM ticks WHERE time >= d.day::timestamp AT TIME ZONE 'Asia/Kolkata'
        AND time < (d.day + 1)::timestamp AT TIME ZONE 'Asia/Kolkata')
    OR EXISTS (SELECT FROM standby_ticks WHERE time >= d.day::timestamp AT TIME ZONE 'Asia/Kolkata'
        AND time < (d.day + 1)::timestamp AT TIME ZONE 'Asia/Kolkata')
    OR EXISTS (SELECT FROM archives AS known WHERE known.day = d.day)
)
ORDER BY d.day
