-- Gives each role the rights that access_differences() finds it lacks, and takes those it finds it has too many; returns in
-- words what could not be done.
--
-- What needs the owner of the tables and streams nevertheless do (days of ticks, statistics) is a SECURITY DEFINER function, as
-- are all of dashboards. Those look for names in our schema and in that of TimescaleDB alone. What needs an owner and cannot be in
-- a function belongs to market_writer as soon as that may log in: the continuous aggregates, which nobody else may refresh, and
-- the schema of Dagster's tables.
CREATE OR REPLACE FUNCTION grant_access() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    ours regnamespace := (SELECT relnamespace FROM pg_class WHERE oid = 'schema_migrations'::regclass);
    extension regnamespace := (SELECT extnamespace FROM pg_extension WHERE extname = 'timescaledb');
    path text := concat_ws(', ', ours, nullif(extension::text, ours::text), 'pg_temp');
    found record;
BEGIN
    FOR found IN
        SELECT oid::regprocedure AS routine, prosecdef AS is_definer, proconfig AS settings FROM pg_proc
        WHERE pronamespace = ours
        AND proowner = (SELECT relowner FROM pg_class WHERE oid = 'schema_migrations'::regclass)
        AND (prosecdef OR proname = 'ensure_tick_day' OR proname LIKE 'dashboard\_%')
    LOOP
        IF NOT found.is_definer THEN
            EXECUTE format('ALTER ROUTINE %s SECURITY DEFINER', found.routine);
        END IF;
        IF 'search_path=' || path <> ALL (coalesce(found.settings, '{}')) THEN
            EXECUTE format('ALTER ROUTINE %s SET search_path = %s', found.routine, path);
        END IF;
    END LOOP;

    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'market_writer' AND rolcanlogin) THEN
        BEGIN
            PERFORM give_to_writer();
        EXCEPTION
            WHEN insufficient_privilege THEN
                RETURN NEXT format('market_writer does not own what it must: %s', SQLERRM);
        END;
    END IF;

    FOR found IN
        SELECT
            format(
                CASE WHEN is_missing THEN 'GRANT %s ON %s TO %s' ELSE 'REVOKE %s ON %s FROM %s' END,
                string_agg(privilege, ', '), target, grantee
            ) AS statement
        FROM access_differences()
        GROUP BY is_missing, target, grantee
    LOOP
        BEGIN
            EXECUTE found.statement;
        EXCEPTION
            WHEN insufficient_privilege THEN
                RETURN NEXT format('%s: %s', found.statement, SQLERRM);
        END;
    END LOOP;
END
$$
