-- Of a frame with these columns: see storage/reconciliations.py.
COPY found_repairs (
    instrument_id, time, broker, open, high, low, close, volume, open_interest,
    replaced_open, replaced_high, replaced_low, replaced_close, replaced_volume, replaced_open_interest,
    replaced_trades, fields, reason, repaired_by
) FROM STDIN (FORMAT csv)
