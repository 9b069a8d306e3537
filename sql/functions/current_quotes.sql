-- What instruments stand at: the newest tick of each before a time, of the five days up to it, and if it is asked for the close
-- of the day before that tick's, see close_before.sql. Those without a tick have a row as well.
CREATE OR REPLACE FUNCTION current_quotes(wanted bigint[], before timestamptz, with_close boolean) RETURNS TABLE (
    instrument_id bigint, "time" timestamptz, last_price double precision, day_volume bigint, open_interest bigint,
    bid_price double precision, bid_quantity bigint, ask_price double precision, ask_quantity bigint,
    buy_quantity bigint, sell_quantity bigint, previous_close double precision
) LANGUAGE sql STABLE AS $$
    WITH newest AS MATERIALIZED (
        SELECT
            i.instrument_id, i.exchange,
            t.time, t.last_price, t.day_volume, t.open_interest, t.buy_quantity, t.sell_quantity,
            -- A side of which there is no quantity is empty, and its price means nothing.
            CASE WHEN t.bid_quantity > 0 THEN t.bid_price END AS bid_price, t.bid_quantity,
            CASE WHEN t.ask_quantity > 0 THEN t.ask_price END AS ask_price, t.ask_quantity,
            date_trunc('day', coalesce(t.time, least(before, now())), 'Asia/Kolkata') AS midnight
        FROM instruments AS i
        LEFT JOIN LATERAL (
            SELECT * FROM ticks
            WHERE instrument_id = i.instrument_id AND time < before AND time > least(before, now()) - INTERVAL '5 days'
            ORDER BY time DESC, seq DESC LIMIT 1
        ) AS t ON true
        WHERE i.instrument_id = ANY (wanted)
    ),
    -- Most have traded in the last hour of the session before, and to read all of those at once takes a tenth of the time.
    hours AS MATERIALIZED (
        SELECT n.exchange, n.midnight, array_agg(n.instrument_id) AS instruments, (
            SELECT coalesce(max(s.closes_at), n.midnight) - INTERVAL '1 hour' FROM trading_sessions AS s
            WHERE s.exchange = n.exchange AND s.closes_at <= n.midnight
        ) AS starts_at
        FROM newest AS n
        WHERE with_close
        GROUP BY n.exchange, n.midnight
    ),
    closes AS MATERIALIZED (
        SELECT c.* FROM hours
        CROSS JOIN LATERAL (
            SELECT DISTINCT ON (m.instrument_id) m.instrument_id, m.time, m.close FROM candles_1m AS m
            WHERE m.instrument_id = ANY (hours.instruments) AND m.time >= hours.starts_at AND m.time < hours.midnight
            ORDER BY m.instrument_id, m.time DESC
        ) AS c
    )
    SELECT
        n.instrument_id, n.time, n.last_price, n.day_volume, n.open_interest, n.bid_price, n.bid_quantity,
        n.ask_price, n.ask_quantity, n.buy_quantity, n.sell_quantity,
        CASE
            WHEN NOT with_close THEN NULL
            -- Ours is the last, unless the broker has replaced it or has a later one.
            WHEN c.time IS NOT NULL
            AND NOT EXISTS (
                SELECT FROM candle_repairs AS r
                WHERE r.instrument_id = n.instrument_id AND r.time >= c.time AND r.time < n.midnight
            )
            AND NOT EXISTS (
                SELECT FROM broker_candles AS b
                WHERE b.instrument_id = n.instrument_id AND b.minutes IN (1, 1440)
                AND b.time > c.time AND b.time < n.midnight AND b.volume IS DISTINCT FROM 0
            )
            THEN c.close
            ELSE close_before(n.instrument_id, n.midnight)
        END
    FROM newest AS n
    LEFT JOIN closes AS c ON c.instrument_id = n.instrument_id
$$
