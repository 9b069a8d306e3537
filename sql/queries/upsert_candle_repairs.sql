-- A repair that is the same as before stays as it is.
INSERT INTO candle_repairs AS r
SELECT * FROM found_repairs
ON CONFLICT (instrument_id, time) DO UPDATE SET
    broker = excluded.broker, open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
    volume = excluded.volume, open_interest = excluded.open_interest, replaced_open = excluded.replaced_open,
    replaced_high = excluded.replaced_high, replaced_low = excluded.replaced_low,
    replaced_close = excluded.replaced_close, replaced_volume = excluded.replaced_volume,
    replaced_open_interest = excluded.replaced_open_interest, replaced_trades = excluded.replaced_trades,
    fields = excluded.fields, reason = excluded.reason, repaired_by = excluded.repaired_by, repaired_at = now()
WHERE (
    r.broker, r.open, r.high, r.low, r.close, r.volume, r.open_interest, r.replaced_open, r.replaced_high,
    r.replaced_low, r.replaced_close, r.replaced_volume, r.replaced_open_interest, r.replaced_trades
) IS DISTINCT FROM (
    excluded.broker, excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume,
    excluded.open_interest, excluded.replaced_open, excluded.replaced_high, excluded.replaced_low,
    excluded.replaced_close, excluded.replaced_volume, excluded.replaced_open_interest, excluded.replaced_trades
)
