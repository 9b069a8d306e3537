-- Times in which packets of one instrument may have been missed that are in its candles, as annotations: those that another
-- broker's feed has covered are not, and one that lasts ends at to_time. The newest 500.
CREATE OR REPLACE FUNCTION dashboard_gaps(instrument text, from_time timestamptz, to_time timestamptz) RETURNS TABLE (
    "time" timestamptz, timeend timestamptz, text text, tags text
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT
        started_at, coalesce(ended_at, to_time),
        format(
            'Gap of %s (%s): %s. %s', stream, coalesce(broker, 'any broker'), cause,
            CASE
                WHEN ended_at IS NULL THEN 'It lasts.'
                WHEN repaired_by IS NOT NULL THEN 'Settled: ' || repaired_by || '.'
                WHEN repair_failure IS NOT NULL THEN 'Not repaired yet: ' || repair_failure
                ELSE 'Not repaired yet.'
            END
        ),
        'gap,' || CASE WHEN repaired_by IS NULL OR repaired_by LIKE 'given up:%' THEN 'not filled' ELSE 'filled' END
    FROM gaps
    WHERE started_at < to_time AND (ended_at IS NULL OR ended_at > from_time) AND covered_by IS NULL
    AND (instruments = '{}' OR CASE WHEN instrument ~ '^[0-9]{1,18}$' THEN instrument::bigint END = ANY (instruments))
    ORDER BY started_at DESC
    LIMIT 500
$$
