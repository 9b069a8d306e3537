-- Lets a role log in with a password, of which this gets the SCRAM verifier alone; makes the role if it is missing.
CREATE OR REPLACE FUNCTION set_role_login(role text, verifier text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    -- All databases of a server share its roles. Who comes second waits for the first's transaction, and is then refused.
    FOR attempt IN 1..10 LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
                EXECUTE format('CREATE ROLE %I', role);
            END IF;
            EXECUTE format('ALTER ROLE %I LOGIN PASSWORD %L', role, verifier);
            RETURN;
        EXCEPTION
            WHEN duplicate_object OR unique_violation OR internal_error THEN
                IF attempt = 10 THEN
                    RAISE;
                END IF;
        END;
    END LOOP;
END
$$;
