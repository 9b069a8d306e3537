SELECT started_at, ended_at, seconds, outcome, cause, stream, broker, instruments, detail, gap_id
FROM dashboard_gap_ledger($__timeFrom(), $__timeTo())
ORDER BY started_at DESC
LIMIT 500
