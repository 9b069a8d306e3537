COPY instrument_master FROM STDIN (FORMAT csv)
