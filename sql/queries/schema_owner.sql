-- Who owns our tables, and whether this user may do what the owner may; no row where there are none.
SELECT pg_get_userbyid(relowner) AS owner, pg_has_role(relowner, 'USAGE') AS is_ours
FROM pg_class WHERE oid = to_regclass('schema_migrations')
