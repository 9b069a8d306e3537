-- The statement that drops a schema that was made for a replay of the pipeline in :source; no row where there is none, and
-- NULL where a schema of that name is something else.
SELECT CASE
    WHEN obj_description(n.oid, 'pg_namespace') LIKE 'market_pipeline replay of %'
    AND right(obj_description(n.oid, 'pg_namespace'), length(:source) + 1) = ' ' || :source
    THEN format('DROP SCHEMA %I CASCADE', n.nspname)
END AS statement
FROM pg_namespace AS n WHERE n.nspname = :schema
