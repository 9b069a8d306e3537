-- Where the names of a replay's connection lead: the schemas that are searched for them, and those relations of the pipeline
-- in :source that are not found in the replay's own schema.
SELECT
    current_schemas(false)::text[] AS path,
    ARRAY(
        SELECT c.relname::text FROM pg_class AS c
        WHERE c.relnamespace = to_regnamespace(quote_ident(:source)) AND c.relkind IN ('r', 'p', 'v', 'm')
        AND to_regclass(quote_ident(c.relname)) IN (SELECT oid FROM pg_class WHERE relnamespace <> current_schema()::regnamespace)
    ) AS elsewhere
