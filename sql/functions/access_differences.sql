-- How the rights of the roles of migration 0017 differ from what they must be: no row where they do not.
--
-- market_writer reads and writes all tables but those that say what the schema is; market_reader reads everything;
-- market_api reads everything and changes what is to be streamed; market_grafana reads what is named dashboard_*. All others may
-- do nothing, PUBLIC included. A role that does not exist is passed over. Ours is what is in the schema of our tables and
-- belongs to their owner or to the writer; the rights on a database or schema are ours to set where it is that owner's.
CREATE OR REPLACE FUNCTION access_differences() RETURNS TABLE (
    is_missing boolean, privilege text, target text, grantee text
) LANGUAGE sql STABLE AS $$
    WITH roles AS MATERIALIZED (
        SELECT oid, rolname::text AS name FROM pg_roles
        WHERE rolname IN ('market_writer', 'market_reader', 'market_api', 'market_grafana')
    ),
    ours AS MATERIALIZED (
        SELECT relnamespace AS schema, relowner AS owner FROM pg_class WHERE oid = 'schema_migrations'::regclass
    ),
    objects AS MATERIALIZED (
        SELECT
            CASE c.relkind WHEN 'S' THEN 'sequence' WHEN 'r' THEN 'table' WHEN 'p' THEN 'table' ELSE 'view' END AS kind,
            c.relname::text AS name, c.relowner AS owner,
            format('%s %I.%I', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, n.nspname, c.relname) AS target,
            coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END, c.relowner)) AS acl
        FROM pg_class AS c
        JOIN ours ON ours.schema = c.relnamespace
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S')
        AND (c.relowner = ours.owner OR c.relowner = (SELECT oid FROM roles WHERE name = 'market_writer'))
        AND NOT EXISTS (
            SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
        )
        UNION ALL
        SELECT
            CASE
                WHEN p.proname IN (
                    'grant_access', 'give_to_writer', 'set_role_login', 'set_tick_policies', 'set_refresh_policy',
                    'drop_tick_day', 'remove_tick_day'
                )
                THEN 'administration'
                WHEN p.provolatile = 'v' THEN 'action'
                ELSE 'function'
            END,
            p.proname, p.proowner,
            format('ROUTINE %I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
            coalesce(p.proacl, acldefault('f', p.proowner))
        FROM pg_proc AS p
        JOIN ours ON ours.schema = p.pronamespace AND ours.owner = p.proowner
        JOIN pg_namespace AS n ON n.oid = p.pronamespace
        WHERE NOT EXISTS (
            SELECT FROM pg_depend AS d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
        )
        UNION ALL
        SELECT
            'schema', n.nspname, n.nspowner, format('SCHEMA %I', n.nspname),
            coalesce(n.nspacl, acldefault('n', n.nspowner))
        FROM pg_namespace AS n
        JOIN ours ON ours.schema = n.oid
        UNION ALL
        SELECT 'database', datname, datdba, format('DATABASE %I', datname), coalesce(datacl, acldefault('d', datdba))
        FROM pg_database
        JOIN ours ON ours.owner = datdba
        WHERE datname = current_database() AND NOT datistemplate
    ),
    rights (kind, grantee, privilege) AS (
        SELECT kind, grantee, 'SELECT'
        FROM unnest(ARRAY['table', 'view', 'sequence']) AS kind,
        unnest(ARRAY['market_writer', 'market_reader', 'market_api']) AS grantee
        UNION ALL
        SELECT 'table', 'market_writer', unnest(ARRAY['INSERT', 'UPDATE', 'DELETE'])
        UNION ALL
        SELECT 'function', unnest(ARRAY['market_writer', 'market_reader', 'market_api']), 'EXECUTE'
        UNION ALL
        SELECT 'schema', name, 'USAGE' FROM roles
        UNION ALL
        SELECT 'database', name, 'CONNECT' FROM roles
        UNION ALL
        VALUES
            ('action', 'market_writer', 'EXECUTE'),
            ('sequence', 'market_writer', 'USAGE'),
            ('database', 'market_writer', 'TEMPORARY')
    ),
    rights_by_name (name, grantee, privilege) AS (VALUES
        ('tick_listeners', 'market_api', 'INSERT'),
        ('tick_listeners', 'market_api', 'UPDATE'),
        ('tick_listeners', 'market_api', 'DELETE'),
        ('subscriptions', 'market_api', 'INSERT'),
        ('subscriptions', 'market_api', 'UPDATE'),
        ('subscription_version', 'market_api', 'UPDATE'),
        ('desired_state', 'market_api', 'UPDATE')
    ),
    wanted AS (
        SELECT rights.privilege, objects.target, rights.grantee
        FROM objects
        JOIN rights USING (kind)
        WHERE NOT (
            objects.name IN ('schema_migrations', 'candle_definitions')
            AND rights.privilege IN ('INSERT', 'UPDATE', 'DELETE')
        )
        UNION
        SELECT rights_by_name.privilege, objects.target, rights_by_name.grantee
        FROM objects
        JOIN rights_by_name USING (name)
        WHERE objects.kind = 'table'
        UNION
        SELECT
            CASE WHEN kind IN ('function', 'action') THEN 'EXECUTE' ELSE 'SELECT' END, target,
            unnest(CASE
                WHEN kind = 'action' THEN ARRAY['market_grafana', 'market_reader', 'market_api']
                ELSE ARRAY['market_grafana']
            END)
        FROM objects
        WHERE name LIKE 'dashboard\_%' AND kind IN ('table', 'view', 'function', 'action')
    ),
    actual AS (
        SELECT a.privilege_type AS privilege, objects.target, coalesce(roles.name, 'PUBLIC') AS grantee
        FROM objects
        CROSS JOIN LATERAL aclexplode(objects.acl) AS a
        LEFT JOIN roles ON roles.oid = a.grantee
        WHERE (roles.oid IS NOT NULL OR a.grantee = 0) AND a.grantee <> objects.owner
        -- With these PUBLIC does no harm, and others in the same database may count on them.
        AND NOT (a.grantee = 0 AND a.privilege_type = 'CONNECT')
        AND NOT (a.grantee = 0 AND objects.kind = 'schema' AND a.privilege_type = 'USAGE')
        AND NOT (objects.kind = 'schema' AND objects.owner <> (SELECT owner FROM ours) AND a.grantee = 0)
    )
    SELECT true, w.privilege, w.target, w.grantee
    FROM wanted AS w
    JOIN roles ON roles.name = w.grantee
    JOIN objects ON objects.target = w.target AND objects.owner <> roles.oid
    WHERE NOT EXISTS (SELECT FROM actual AS a WHERE (a.privilege, a.target, a.grantee) = (w.privilege, w.target, w.grantee))
    UNION ALL
    SELECT false, a.privilege, a.target, a.grantee
    FROM actual AS a
    WHERE NOT EXISTS (SELECT FROM wanted AS w WHERE (w.privilege, w.target, w.grantee) = (a.privilege, a.target, a.grantee))
$$
