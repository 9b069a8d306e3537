-- Minutes of one instrument whose candle is the broker's in place of ours, as annotations: those that follow each other for the
-- same reason are one. The newest 500.
CREATE OR REPLACE FUNCTION dashboard_repairs(instrument text, from_time timestamptz, to_time timestamptz) RETURNS TABLE (
    "time" timestamptz, timeend timestamptz, text text, tags text
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    WITH repairs AS (
        SELECT
            time, broker, reason, fields, replaced_close IS NULL AS was_missing,
            time - row_number() OVER (PARTITION BY broker, reason ORDER BY time) * INTERVAL '1 minute' AS run
        FROM candle_repairs
        WHERE instrument_id = CASE WHEN instrument ~ '^[0-9]{1,18}$' THEN instrument::bigint END
        AND time >= from_time AND time < to_time
    )
    SELECT
        min(time), max(time) + INTERVAL '1 minute',
        format(
            '%s candles of %s (%s); %s of them we had not',
            count(*), broker, reason, count(*) FILTER (WHERE was_missing)
        ),
        'repair,' || reason
    FROM repairs
    GROUP BY broker, reason, run
    ORDER BY 1 DESC
    LIMIT 500
$$
