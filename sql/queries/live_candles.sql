-- One minute of each of some instruments as sql/candles/candles_1m.sql makes it, with what is needed to go on from there: the
-- minute that is given, or that of the newest tick (is_newest). From ticks and not from candles_1m, where a late tick
-- shows after the next refresh only. Every instrument has a row; positions say up to where each stream is contained.
-- Materialized, or the newest tick would be looked for with each tick that is compared.
WITH wanted AS MATERIALIZED (
    SELECT
        given.instrument_id,
        given.minute IS NULL AS is_newest,
        coalesce(
            given.minute,
            (
                SELECT date_trunc('minute', t.time) FROM ticks AS t
                WHERE t.instrument_id = given.instrument_id
                ORDER BY t.time DESC LIMIT 1
            )
        ) AS minute
    FROM unnest(:instrument_ids::bigint[], :minutes::timestamptz[]) AS given (instrument_id, minute)
)
SELECT
    wanted.instrument_id,
    wanted.is_newest,
    (extract(EPOCH FROM wanted.minute) * 1000000)::bigint AS time,
    m.open, m.open_seq, m.high, m.low, m.close, m.close_seq, m.volume, m.open_interest, m.open_interest_seq,
    coalesce(m.trades, 0) AS trades,
    (SELECT coalesce(jsonb_object_agg(stream, arrivals), '{}') FROM journal_positions) AS positions
FROM wanted
CROSS JOIN LATERAL (
    SELECT
        (array_agg(last_price ORDER BY seq) FILTER (WHERE is_trade))[1] AS open,
        min(seq) FILTER (WHERE is_trade) AS open_seq,
        max(high) FILTER (WHERE is_trade) AS high,
        min(low) FILTER (WHERE is_trade) AS low,
        (array_agg(last_price ORDER BY seq DESC) FILTER (WHERE is_trade))[1] AS close,
        max(seq) FILTER (WHERE is_trade) AS close_seq,
        sum(volume)::bigint AS volume,
        (array_agg(open_interest ORDER BY seq DESC) FILTER (WHERE open_interest IS NOT NULL))[1] AS open_interest,
        max(seq) FILTER (WHERE open_interest IS NOT NULL) AS open_interest_seq,
        count(*) FILTER (WHERE is_trade) AS trades
    FROM ticks
    WHERE instrument_id = wanted.instrument_id
    AND time >= wanted.minute AND time < wanted.minute + INTERVAL '1 minute'
) AS m
