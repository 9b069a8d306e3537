-- Candles of one instrument as candles() has them, and how the open interest differs from that of the candle before.
-- instrument is an instrument_id, of anything else there is nothing; length is an interval, such as 5m.
CREATE OR REPLACE FUNCTION dashboard_candles(instrument text, length text, from_time timestamptz, to_time timestamptz)
RETURNS TABLE (
    "time" timestamptz, open double precision, high double precision, low double precision, close double precision,
    volume bigint, open_interest bigint, open_interest_change bigint, trades bigint, state text, has_gap boolean
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT
        time, open, high, low, close, volume, open_interest,
        open_interest - lag(open_interest) OVER (ORDER BY time), trades, state, has_gap
    FROM candles(
        CASE WHEN instrument ~ '^[0-9]{1,18}$' THEN instrument::bigint END, length::interval, from_time, to_time
    )
    ORDER BY time
$$
