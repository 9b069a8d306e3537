-- No row where this database does not use TimescaleDB.
SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'
