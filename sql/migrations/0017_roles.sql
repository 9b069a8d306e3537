-- Roles of the server, so that each program has the rights it needs and no more; grant_access() gives them.
--
-- market_writer: streams and Dagster. market_api: the API. market_reader: whoever only reads. market_grafana: reads what
-- dashboards show, and nothing else. They cannot log in until they are given a password.
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['market_writer', 'market_reader', 'market_api', 'market_grafana']
    LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = wanted);
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN
                NULL;  -- another database of the same server was quicker
        END;
    END LOOP;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE WARNING 'roles are not created: this user may not (%)', SQLERRM;
END
$$;
