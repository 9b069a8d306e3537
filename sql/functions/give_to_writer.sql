-- Makes market_writer the owner of the continuous aggregates and of Dagster's schema: see grant_access.
CREATE OR REPLACE FUNCTION give_to_writer() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    writer oid := 'market_writer'::regrole;
    found record;
BEGIN
    IF current_user <> 'market_writer' AND NOT pg_has_role('market_writer', 'MEMBER') THEN
        EXECUTE format('GRANT market_writer TO %I', current_user);
    END IF;
    FOR found IN
        SELECT c.oid::regclass AS aggregate FROM pg_class AS c
        WHERE c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'schema_migrations'::regclass)
        AND c.relname LIKE 'candles\_%\_aggregate' AND c.relkind = 'v' AND c.relowner <> writer
    LOOP
        EXECUTE format('ALTER MATERIALIZED VIEW %s OWNER TO market_writer', found.aggregate);
    END LOOP;
    IF to_regnamespace('dagster') IS NULL THEN
        CREATE SCHEMA dagster AUTHORIZATION market_writer;
    END IF;
    IF (SELECT nspowner FROM pg_namespace WHERE nspname = 'dagster') <> writer THEN
        ALTER SCHEMA dagster OWNER TO market_writer;
    END IF;
    FOR found IN
        SELECT format('%s dagster.%I', CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, relname) AS relation
        FROM pg_class AS c
        WHERE c.relnamespace = to_regnamespace('dagster') AND c.relkind IN ('r', 'p', 'v', 'm', 'S') AND c.relowner <> writer
        -- Those of a column follow their table.
        AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = c.oid AND c.relkind = 'S' AND d.deptype IN ('a', 'i'))
        UNION ALL
        SELECT format('TYPE dagster.%I', typname) FROM pg_type
        WHERE typnamespace = to_regnamespace('dagster') AND typtype = 'e' AND typowner <> writer
    LOOP
        EXECUTE format('ALTER %s OWNER TO market_writer', found.relation);
    END LOOP;
END
$$
