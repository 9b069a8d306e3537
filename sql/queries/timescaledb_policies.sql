-- What the server does by itself: refresh continuous aggregates, compress ticks. Offsets in days.
SELECT
    coalesce(c.view_name, j.hypertable_name)::text AS name,
    c.view_name IS NOT NULL AS is_refresh,
    extract(epoch FROM (j.config ->> 'start_offset')::interval)::double precision / 86400 AS looks_back_days,
    extract(epoch FROM (j.config ->> 'compress_after')::interval)::double precision / 86400 AS compress_after_days
FROM timescaledb_information.jobs AS j
LEFT JOIN timescaledb_information.continuous_aggregates AS c
-- Which of the two names a job has depends on the version.
ON (j.hypertable_schema, j.hypertable_name) IN (
    (c.view_schema, c.view_name), (c.materialization_hypertable_schema, c.materialization_hypertable_name)
)
AND j.proc_name = 'policy_refresh_continuous_aggregate'
WHERE j.scheduled AND j.proc_name IN ('policy_refresh_continuous_aggregate', 'policy_compression')
-- Another schema of the same database may have a pipeline of its own.
AND coalesce(c.view_schema, j.hypertable_schema) = (
    SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = 'ticks'::regclass
)
ORDER BY name
