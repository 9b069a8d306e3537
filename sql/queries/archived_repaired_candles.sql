-- A day's one-minute candles of some instruments as readers get them: see candle_minutes.sql.
SELECT
    m.time, wanted.instrument_id, m.open, m.high, m.low, m.close, m.volume, m.open_interest, m.trades, m.state
FROM unnest(current_setting('archive.instrument_ids')::bigint[]) AS wanted (instrument_id)
CROSS JOIN LATERAL candle_minutes(
    wanted.instrument_id, current_setting('archive.starts_at')::timestamptz, current_setting('archive.ends_at')::timestamptz
) AS m
ORDER BY wanted.instrument_id, m.time
