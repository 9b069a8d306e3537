-- From the stand-by's first minute within a time to the last in which anything came; NULL if it has sent nothing.
SELECT
    date_bin('1 minute', min(time), 'epoch') AS since,
    date_bin(
        '1 minute',
        greatest(max(time), (SELECT max(time) FROM ticks WHERE time >= :from_time AND time < :to_time)),
        'epoch'
    ) + INTERVAL '1 minute' AS until
FROM standby_ticks
WHERE time >= :from_time AND time < :to_time
