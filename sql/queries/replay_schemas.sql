-- The schemas that were made for replays of the pipeline in :source: which day's, and how many bytes they take.
SELECT
    n.nspname::text AS schema,
    substring(obj_description(n.oid, 'pg_namespace') FROM 'replay of (\d{4}-\d{2}-\d{2})')::date AS day,
    coalesce((SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class AS c WHERE c.relnamespace = n.oid AND c.relkind = 'r'), 0)
    ::bigint AS bytes
FROM pg_namespace AS n
WHERE obj_description(n.oid, 'pg_namespace') LIKE 'market_pipeline replay of %'
AND right(obj_description(n.oid, 'pg_namespace'), length(:source) + 1) = ' ' || :source
ORDER BY day
