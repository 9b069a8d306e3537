-- Candles of whole days, and when each exchange opens: any other candle length is aligned to that.

CREATE TABLE candles_1d_stored (LIKE candles_1m_stored INCLUDING ALL);

-- Of the days that are stored already.
INSERT INTO candles_1d_stored
SELECT
    instrument_id,
    date_trunc('day', time, 'Asia/Kolkata'),
    (array_agg(open ORDER BY time))[1],
    max(high),
    min(low),
    (array_agg(close ORDER BY time DESC))[1],
    sum(volume)::bigint,
    (array_agg(open_interest ORDER BY time DESC) FILTER (WHERE open_interest IS NOT NULL))[1],
    sum(trades)::bigint
FROM candles_1m_stored
WHERE time < (SELECT date_trunc('day', watermark, 'Asia/Kolkata') FROM candle_progress)
GROUP BY 1, 2;

CREATE TABLE trading_sessions (
    exchange text NOT NULL,
    day date NOT NULL,
    opens_at timestamptz NOT NULL,
    closes_at timestamptz NOT NULL,
    PRIMARY KEY (exchange, day)
);
COMMENT ON TABLE trading_sessions IS 'Copied from the calendar of the program; an exchange without rows never closes.';

COMMENT ON COLUMN gaps.instruments IS 'Those that the connection carried; empty where that is not known, which means any.';
