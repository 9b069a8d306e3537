-- Candles of any length of one instrument that begin from one time up to another, computed from those of a minute.
--
-- They begin at the opening of each session of the instrument's exchange and every so many minutes after it, so the
-- last of a session may be short, and what was printed before the opening is in a candle of its own. A day's
-- candle begins at midnight of Asia/Kolkata. On days of which there are no minutes they are the broker's of that length.
--
-- state is the least certain of the minutes': provisional, repaired, backfilled, final; see candle_minutes.sql. has_gap
-- tells that packets may have been missed in it.
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
    WITH whole_days AS MATERIALIZED (
        -- Days whose stored candle is right as it is: the broker has not been asked, or agrees.
        SELECT
            d.*, (d.time AT TIME ZONE 'Asia/Kolkata')::date AS day,
            coalesce(r.verdict = 'agrees' AND r.unconfirmed = '{}', false) AS is_final
        FROM candles_1d AS d
        LEFT JOIN reconciliations AS r
        ON r.instrument_id = d.instrument_id AND r.day = (d.time AT TIME ZONE 'Asia/Kolkata')::date
        WHERE width = 86400 AND d.instrument_id = wanted_instrument_id AND d.time >= from_time AND d.time < to_time
        AND (
            r.verdict = 'agrees'
            OR NOT EXISTS (
                SELECT FROM broker_candles AS b
                WHERE b.instrument_id = wanted_instrument_id AND b.minutes = 1
                AND b.time >= d.time AND b.time < d.time + INTERVAL '1 day'
            )
        )
    ),
    minutes AS MATERIALIZED (
        SELECT * FROM (
            SELECT m.*, (m.time AT TIME ZONE 'Asia/Kolkata')::date AS day
            -- A candle that begins at to_time or later, or before from_time, is cut off below.
            FROM candle_minutes(wanted_instrument_id, from_time - wanted_interval, to_time + wanted_interval) AS m
        ) AS of_days
        WHERE day NOT IN (SELECT day FROM whole_days)
    ),
    -- Of days, which are few: without this it is asked for each minute when exchanges open.
    openings AS MATERIALIZED (
        SELECT
            days.day,
            CASE
                WHEN width = 86400 THEN midnight
                -- On days before those that are known as on the first; midnight for an exchange that never closes.
                ELSE coalesce(s.opens_at, midnight + usual.opens_after, midnight)
            END AS opens_at
        FROM (SELECT DISTINCT day, day::timestamp AT TIME ZONE 'Asia/Kolkata' AS midnight FROM minutes) AS days
        JOIN instruments AS i ON i.instrument_id = wanted_instrument_id
        LEFT JOIN trading_sessions AS s ON s.exchange = i.exchange AND s.day = days.day
        LEFT JOIN LATERAL (
            SELECT opens_at - date_trunc('day', opens_at, 'Asia/Kolkata') AS opens_after
            FROM trading_sessions WHERE exchange = i.exchange ORDER BY day LIMIT 1
        ) AS usual ON true
    ),
    binned AS (
        SELECT m.*, opens_at, floor(extract(epoch FROM m.time - opens_at) / width) AS bin
        FROM minutes AS m
        JOIN openings USING (day)
    ),
    made AS MATERIALIZED (
        SELECT
            opens_at + bin * width * interval '1 second' AS begins_at,
            (array_agg(open ORDER BY time))[1] AS open,
            max(high) AS high,
            min(low) AS low,
            (array_agg(close ORDER BY time DESC))[1] AS close,
            sum(volume)::bigint AS volume,
            (array_agg(open_interest ORDER BY time DESC) FILTER (WHERE open_interest IS NOT NULL))[1] AS open_interest,
            sum(trades)::bigint AS trades,
            CASE
                WHEN bool_or(state = 'provisional') THEN 'provisional'
                WHEN bool_or(state = 'repaired') THEN 'repaired'
                WHEN bool_or(state = 'backfilled') THEN 'backfilled'
                ELSE 'final'
            END AS state
        FROM binned
        GROUP BY opens_at, bin
        HAVING opens_at + bin * width * interval '1 second' >= from_time
        AND opens_at + bin * width * interval '1 second' < to_time
        UNION ALL
        SELECT
            time, open, high, low, close, volume, open_interest, trades,
            CASE WHEN is_final THEN 'final' ELSE 'provisional' END
        FROM whole_days
    ),
    longer AS (
        SELECT DISTINCT ON (b.time) b.*
        FROM broker_candles AS b
        WHERE width > 60 AND b.instrument_id = wanted_instrument_id AND b.minutes = width / 60
        AND b.time >= from_time AND b.time < to_time
        AND date_trunc('day', b.time, 'Asia/Kolkata') NOT IN (
            SELECT date_trunc('day', begins_at, 'Asia/Kolkata') FROM made
        )
        ORDER BY b.time, b.fetched_at DESC
    ),
    every AS (
        SELECT * FROM made
        UNION ALL
        SELECT time, open, high, low, close, volume, open_interest, NULL, 'backfilled' FROM longer
        WHERE volume IS DISTINCT FROM 0
    )
    SELECT
        every.begins_at, every.open, every.high, every.low, every.close, every.volume, every.open_interest,
        every.trades, every.state,
        EXISTS (
            SELECT FROM gaps AS g
            WHERE g.started_at < every.begins_at + wanted_interval
            AND (g.ended_at IS NULL OR g.ended_at > every.begins_at)
            AND g.covered_by IS NULL AND (g.instruments = '{}' OR wanted_instrument_id = ANY (g.instruments))
        )
    FROM every
    ORDER BY every.begins_at;
END
$$
