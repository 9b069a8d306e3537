COPY fetched_candles FROM STDIN (FORMAT csv)
