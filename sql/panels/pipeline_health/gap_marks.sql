SELECT
    started_at AS time, coalesce(ended_at, now()) AS timeend, cause || ': ' || stream AS text, 'gap,' || outcome AS tags
FROM dashboard_gap_ledger($__timeFrom(), $__timeTo())
ORDER BY started_at DESC
LIMIT 500
