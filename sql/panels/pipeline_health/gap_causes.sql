SELECT
    cause,
    coalesce(sum(seconds) FILTER (WHERE outcome = 'open'), 0) AS "open",
    coalesce(sum(seconds) FILTER (WHERE outcome = 'waiting'), 0) AS "waiting",
    coalesce(sum(seconds) FILTER (WHERE outcome = 'given up'), 0) AS "given up",
    coalesce(sum(seconds) FILTER (WHERE outcome = 'repaired'), 0) AS "repaired",
    coalesce(sum(seconds) FILTER (WHERE outcome = 'covered'), 0) AS "covered"
FROM dashboard_gap_ledger($__timeFrom(), $__timeTo())
GROUP BY cause
ORDER BY sum(seconds) DESC
LIMIT 20
