-- Lets a role log in with a password, of which this gets the SCRAM verifier alone; makes the role if it is missing.
CREATE OR REPLACE FUNCTION set_role_login(role text, verifier text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
        EXECUTE format('CREATE ROLE %I', role);
    END IF;
    EXECUTE format('ALTER ROLE %I LOGIN PASSWORD %L', role, verifier);
END
$$
