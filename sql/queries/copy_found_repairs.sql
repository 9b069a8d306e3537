COPY found_repairs FROM STDIN (FORMAT csv)
