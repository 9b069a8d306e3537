"""Days of ticks as Parquet files outside the database, certified to be equal to it."""
