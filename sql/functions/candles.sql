-- Candles of any length of one instrument that begin from one time up to another, computed from those of a minute.
--
-- They begin at the opening of each session of the instrument's exchange and every so many minutes after it, so the
-- last of a session may be short, and what was printed before the opening is in a candle of its own. A day's
-- candle begins at midnight of Asia/Kolkata. has_gap tells that packets may have been missed in it.
CREATE OR REPLACE FUNCTION candles(
    wanted_instrument_id bigint, wanted_interval interval, from_time timestamptz, to_time timestamptz
) RETURNS TABLE (
    "time" timestamptz, open double precision, high double precision, low double precision,
    close double precision, volume bigint, open_interest bigint, trades bigint, state text, has_gap boolean
) LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    width double precision := extract(epoch FROM wanted_interval);
BEGIN
    IF width IS NULL OR width < 60 OR width > 86400 OR mod(width::numeric, 60) <> 0 THEN
        RAISE EXCEPTION 'candles of % do not exist: choose whole minutes up to a day', wanted_interval
        USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN QUERY
    WITH minutes AS (
        SELECT
            m.*,
            coalesce(s.opens_at, date_trunc('day', m.time, 'Asia/Kolkata') + coalesce(usual.opens_after, '0')) AS opens_at
        FROM candles_1m AS m
        JOIN instruments AS i ON i.instrument_id = m.instrument_id
        -- On days before those that are known; midnight for an exchange that never closes.
        LEFT JOIN LATERAL (
            SELECT opens_at - date_trunc('day', opens_at, 'Asia/Kolkata') AS opens_after
            FROM trading_sessions WHERE exchange = i.exchange ORDER BY day LIMIT 1
        ) AS usual ON true
        LEFT JOIN trading_sessions AS s
        ON s.exchange = i.exchange AND s.day = (m.time AT TIME ZONE 'Asia/Kolkata')::date
        -- A candle that begins at to_time or later, or before from_time, is cut off below.
        WHERE m.instrument_id = wanted_instrument_id
        AND m.time >= from_time - wanted_interval AND m.time < to_time + wanted_interval
        AND width < 86400
    ),
    binned AS (
        SELECT
            *,
            opens_at + floor(extract(epoch FROM time - opens_at) / width) * width * interval '1 second' AS begins_at
        FROM minutes
    ),
    made AS (
        SELECT
            begins_at,
            (array_agg(open ORDER BY time))[1] AS open,
            max(high) AS high,
            min(low) AS low,
            (array_agg(close ORDER BY time DESC))[1] AS close,
            sum(volume)::bigint AS volume,
            (array_agg(open_interest ORDER BY time DESC) FILTER (WHERE open_interest IS NOT NULL))[1] AS open_interest,
            sum(trades)::bigint AS trades
        FROM binned
        WHERE begins_at >= from_time AND begins_at < to_time
        GROUP BY begins_at
        UNION ALL
        SELECT d.time, d.open, d.high, d.low, d.close, d.volume, d.open_interest, d.trades
        FROM candles_1d AS d
        WHERE d.instrument_id = wanted_instrument_id AND d.time >= from_time AND d.time < to_time
        AND width = 86400
    )
    SELECT
        made.begins_at, made.open, made.high, made.low, made.close, made.volume, made.open_interest, made.trades,
        'provisional',  -- until the session has been reconciled with the broker's candles
        EXISTS (
            SELECT FROM gaps AS g
            WHERE g.started_at < made.begins_at + wanted_interval
            AND (g.ended_at IS NULL OR g.ended_at > made.begins_at)
            AND (g.instruments = '{}' OR wanted_instrument_id = ANY (g.instruments))
        )
    FROM made
    ORDER BY made.begins_at;
END
$$
