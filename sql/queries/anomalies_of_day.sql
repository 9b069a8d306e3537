-- What was received on a day and could not be right, by reason.
SELECT reason, sum(count)::bigint AS count
FROM (
    -- Counted since the process began, which is once a session unless it fails.
    SELECT 'the volume of the day fell, or a stamp is impossible' AS reason, anomalies AS count
    FROM streams
    WHERE started_at < :ends_at AND heartbeat_at >= :starts_at AND anomalies > 0
    UNION ALL
    SELECT reason, 1 AS count FROM rejected
    WHERE received_at >= :starts_at AND received_at < :ends_at
) AS anomalies
GROUP BY reason
ORDER BY count DESC, reason
