-- Each instrument that is subscribed or has candles, what decides its hours, the minutes of its candles and those
-- that gaps touch. Minutes are counted since 1970. From expected_from on candles are expected; NULL: none are.
WITH present AS (
    SELECT
        instrument_id,
        min(time) AS first,
        array_agg((extract(EPOCH FROM time) / 60)::bigint) AS minutes,
        sum(trades)::bigint AS trades
    FROM candles_1m
    WHERE time >= :starts_at AND time < :ends_at
    GROUP BY instrument_id
),
missed AS MATERIALIZED (
    SELECT instruments, minute
    FROM gaps, generate_series(
        floor(extract(EPOCH FROM greatest(started_at, :starts_at)) / 60)::bigint,
        ceil(extract(EPOCH FROM least(ended_at, :ends_at)) / 60)::bigint - 1
    ) AS minute
    WHERE started_at < :ends_at AND (ended_at IS NULL OR ended_at > :starts_at) AND covered_by IS NULL
)
SELECT
    i.exchange || ':' || i.symbol AS name,
    i.exchange,
    i.kind,
    i.underlying,
    EXISTS (
        SELECT FROM instruments AS d
        WHERE d.underlying = i.symbol AND d.exchange IN ('NFO', 'BFO')
        AND d.expiry >= (:starts_at AT TIME ZONE 'Asia/Kolkata')::date
    ) AS has_derivatives,
    CASE
        WHEN s.is_active IS NOT TRUE OR s.since >= :ends_at THEN NULL
        WHEN i.expiry < (:starts_at AT TIME ZONE 'Asia/Kolkata')::date THEN NULL
        WHEN i.delisted_on <= (:starts_at AT TIME ZONE 'Asia/Kolkata')::date THEN NULL
        WHEN s.since < :starts_at THEN floor(extract(EPOCH FROM :starts_at) / 60)::bigint
        -- Subscribed that day: a moment passes until the connection carries it.
        ELSE floor(extract(EPOCH FROM coalesce(present.first, s.since)) / 60)::bigint
    END AS expected_from,
    coalesce(present.trades, 0) AS trades,
    coalesce(present.minutes, '{}') AS present,
    ARRAY(
        SELECT DISTINCT minute FROM missed
        WHERE missed.instruments = '{}' OR i.instrument_id = ANY (missed.instruments)
    ) AS in_gaps
FROM instruments AS i
LEFT JOIN subscriptions AS s ON s.instrument_id = i.instrument_id
LEFT JOIN present ON present.instrument_id = i.instrument_id
WHERE s.is_active OR present.instrument_id IS NOT NULL
