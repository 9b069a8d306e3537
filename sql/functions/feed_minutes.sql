-- What two feeds say of the same instruments, by minutes that lie wholly between two times.
--
-- A minute has a row where both feeds were up for all of it: no row of gaps of either broker touches it for this instrument,
-- the 5 seconds after it included, in which its last packets still come, and all its ticks are of one feed. One that
-- has sent nothing of an instrument that the other saw trading has neither close nor trades, and volume 0, if it has sent
-- something of it in an earlier minute of those asked for.
--
-- Differences are the stand-by's minus the preferred's; close_ticks counts in ticks of the instrument, NULL of an index. A
-- volume is NULL where a packet of the minute does not know what was traded before it, and of an index.
-- preferred_lag and standby_lag are the median of received_at - exchange_time in seconds. Exchanges stamp whole seconds, so it
-- has half a second too much in the mean; the difference between two feeds has not. lead is by how many seconds the
-- preferred one was first: the median, over the day's volumes that both have reported first in a packet of this minute, of
-- the times between the two packets. It is NULL where they have none in common.
CREATE OR REPLACE FUNCTION feed_minutes(from_time timestamptz, to_time timestamptz)
RETURNS TABLE (
    instrument_id bigint, "time" timestamptz, preferred text, standby text,
    preferred_close double precision, standby_close double precision,
    close_difference double precision, close_ticks double precision,
    high_difference double precision, low_difference double precision,
    preferred_volume bigint, standby_volume bigint, volume_difference bigint,
    preferred_trades bigint, standby_trades bigint,
    preferred_lag double precision, standby_lag double precision, lead double precision
) LANGUAGE sql STABLE AS $$
    WITH sent AS MATERIALIZED (
        SELECT
            false AS stands_by, date_bin('1 minute', time, 'epoch') AS minute, instrument_id, seq, feed, last_price, high, low,
            volume, day_volume, received_at, is_trade, extract(epoch FROM received_at - exchange_time)::double precision AS lag
        FROM ticks
        WHERE time >= date_bin('1 minute', from_time + INTERVAL '59.999999 seconds', 'epoch')
        AND time < date_bin('1 minute', to_time, 'epoch')
        UNION ALL
        SELECT
            true, date_bin('1 minute', time, 'epoch'), instrument_id, seq, feed, last_price, high, low,
            volume, day_volume, received_at, is_trade, extract(epoch FROM received_at - exchange_time)::double precision
        FROM standby_ticks
        WHERE time >= date_bin('1 minute', from_time + INTERVAL '59.999999 seconds', 'epoch')
        AND time < date_bin('1 minute', to_time, 'epoch')
    ),
    sides AS MATERIALIZED (
        SELECT
            stands_by, instrument_id, minute,
            min(feed) AS feed,
            min(feed) = max(feed) AND count(feed) = count(*) AS is_of_one,
            (array_agg(last_price ORDER BY seq DESC) FILTER (WHERE is_trade))[1] AS close,
            max(high) FILTER (WHERE is_trade) AS high,
            min(low) FILTER (WHERE is_trade) AS low,
            CASE WHEN count(volume) = count(day_volume) THEN sum(volume)::bigint END AS volume,
            count(*) FILTER (WHERE is_trade) AS trades,
            percentile_cont(0.5) WITHIN GROUP (ORDER BY lag) AS lag
        FROM sent
        GROUP BY stands_by, instrument_id, minute
    ),
    heard AS MATERIALIZED (
        SELECT instrument_id, feed, min(minute) AS since FROM sides WHERE is_of_one GROUP BY instrument_id, feed
    ),
    leads AS MATERIALIZED (
        SELECT
            instrument_id, minute,
            percentile_cont(0.5) WITHIN GROUP (
                ORDER BY extract(epoch FROM standby_at - preferred_at)::double precision
            ) AS lead
        FROM (
            SELECT
                instrument_id, minute,
                min(received_at) FILTER (WHERE NOT stands_by) AS preferred_at,
                min(received_at) FILTER (WHERE stands_by) AS standby_at
            FROM sent
            WHERE volume > 0
            GROUP BY instrument_id, minute, day_volume
        ) AS states
        WHERE preferred_at IS NOT NULL AND standby_at IS NOT NULL
        GROUP BY instrument_id, minute
    ),
    near_gaps AS MATERIALIZED (
        SELECT broker, instruments, started_at, ended_at FROM gaps
        WHERE started_at < to_time + INTERVAL '5 seconds' AND (ended_at IS NULL OR ended_at > from_time)
    ),
    paired AS (
        SELECT
            instrument_id, minute,
            coalesce(p.feed, silent.feed) AS preferred_feed,
            coalesce(s.feed, silent.feed) AS standby_feed,
            p.close AS preferred_close, p.high AS preferred_high, p.low AS preferred_low, p.lag AS preferred_lag,
            s.close AS standby_close, s.high AS standby_high, s.low AS standby_low, s.lag AS standby_lag,
            coalesce(p.trades, 0) AS preferred_trades,
            coalesce(s.trades, 0) AS standby_trades,
            -- Of one that is silent 0, unless it is an index, which has none.
            CASE WHEN p.feed IS NULL THEN s.volume * 0 ELSE p.volume END AS preferred_volume,
            CASE WHEN s.feed IS NULL THEN p.volume * 0 ELSE s.volume END AS standby_volume
        FROM (SELECT * FROM sides WHERE NOT stands_by) AS p
        FULL JOIN (SELECT * FROM sides WHERE stands_by) AS s USING (instrument_id, minute)
        LEFT JOIN LATERAL (
            SELECT feed FROM heard
            WHERE num_nulls(p.feed, s.feed) = 1 AND coalesce(p.trades, s.trades) > 0
            AND heard.instrument_id = coalesce(p.instrument_id, s.instrument_id)
            AND heard.since < coalesce(p.minute, s.minute) AND heard.feed <> coalesce(p.feed, s.feed)
            ORDER BY since DESC LIMIT 1
        ) AS silent ON true
        WHERE coalesce(p.is_of_one, true) AND coalesce(s.is_of_one, true)
    )
    SELECT
        m.instrument_id, m.minute, preferred.broker, standby.broker,
        m.preferred_close, m.standby_close,
        m.standby_close - m.preferred_close,
        (m.standby_close - m.preferred_close) / nullif(i.tick_size, 0),
        m.standby_high - m.preferred_high,
        m.standby_low - m.preferred_low,
        m.preferred_volume, m.standby_volume, m.standby_volume - m.preferred_volume,
        m.preferred_trades, m.standby_trades,
        m.preferred_lag, m.standby_lag, leads.lead
    FROM paired AS m
    JOIN feeds AS preferred ON preferred.feed = m.preferred_feed
    JOIN feeds AS standby ON standby.feed = m.standby_feed AND standby.feed <> preferred.feed
    JOIN instruments AS i ON i.instrument_id = m.instrument_id
    LEFT JOIN leads ON leads.instrument_id = m.instrument_id AND leads.minute = m.minute
    WHERE NOT EXISTS (
        SELECT FROM near_gaps AS g
        WHERE g.started_at < m.minute + INTERVAL '65 seconds' AND (g.ended_at IS NULL OR g.ended_at > m.minute)
        AND (g.broker IS NULL OR g.broker IN (preferred.broker, standby.broker))
        AND (g.instruments = '{}' OR m.instrument_id = ANY (g.instruments))
    )
$$
