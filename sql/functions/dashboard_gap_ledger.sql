-- Gaps that touch the time from one instant up to another, the newest first, and what became of them.
CREATE OR REPLACE FUNCTION dashboard_gap_ledger(from_time timestamptz, to_time timestamptz)
RETURNS TABLE (
    gap_id bigint, stream text, broker text, started_at timestamptz, ended_at timestamptz, seconds double precision,
    cause text, instruments integer, outcome text, detail text
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT
        g.gap_id,
        g.stream,
        g.broker,
        g.started_at,
        g.ended_at,
        extract(EPOCH FROM coalesce(g.ended_at, now()) - g.started_at)::double precision,
        g.cause,
        cardinality(g.instruments),
        CASE
            WHEN g.ended_at IS NULL THEN 'open'
            WHEN g.covered_by IS NOT NULL THEN 'covered'
            WHEN g.repaired_by LIKE 'given up:%' THEN 'given up'
            WHEN g.repaired_by IS NOT NULL THEN 'repaired'
            ELSE 'waiting'
        END,
        coalesce(g.covered_by, g.repaired_by, g.repair_failure, '')
    FROM gaps AS g
    WHERE g.started_at <= to_time AND (g.ended_at IS NULL OR g.ended_at >= from_time)
    ORDER BY g.started_at DESC, g.gap_id DESC
$$;
