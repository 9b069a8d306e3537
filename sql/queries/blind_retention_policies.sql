-- What the server drops by itself of ticks or candles, whether it is archived or not.
SELECT coalesce(c.view_name, j.hypertable_name)::text AS name
FROM timescaledb_information.jobs AS j
LEFT JOIN timescaledb_information.continuous_aggregates AS c
-- Which of the two names a job has depends on the version.
ON (j.hypertable_schema, j.hypertable_name) IN (
    (c.view_schema, c.view_name), (c.materialization_hypertable_schema, c.materialization_hypertable_name)
)
WHERE j.proc_name = 'policy_retention'
AND coalesce(c.view_schema, j.hypertable_schema) = (
    SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = 'ticks'::regclass
)
ORDER BY name
