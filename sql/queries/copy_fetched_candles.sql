COPY fetched_candles (
    instrument_id, minutes, time, broker, open, high, low, close, volume, open_interest, fetched_at
) FROM STDIN (FORMAT csv)
