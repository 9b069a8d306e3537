-- Where Dagster keeps its tables when it shares the database with market data.
CREATE SCHEMA IF NOT EXISTS dagster
