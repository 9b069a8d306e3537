-- Where Dagster keeps its tables when it shares the database with market data. Whoever may not create schemas may not ask for
-- one that exists either, whatever IF NOT EXISTS says.
DO $$
BEGIN
    IF to_regnamespace('dagster') IS NULL THEN
        CREATE SCHEMA IF NOT EXISTS dagster;
    END IF;
END
$$
