-- Lets the server refresh a continuous aggregate from so far back up to now; ends the run of what was set otherwise.
CREATE OR REPLACE FUNCTION set_refresh_policy(aggregate regclass, looks_back interval, every interval) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    job int;
BEGIN
    PERFORM remove_continuous_aggregate_policy(aggregate, if_exists => true);
    job := add_continuous_aggregate_policy(
        aggregate, start_offset => looks_back, end_offset => INTERVAL '0', schedule_interval => every
    );
    -- All at once: in batches of ten, as by default, some days take a hundred times as long.
    PERFORM alter_job(job, config => (
        SELECT config || '{"buckets_per_batch": 0}' FROM timescaledb_information.jobs WHERE job_id = job
    ));
END
$$;

-- Lets the server refresh candles and compress ticks by itself, and changes what is set otherwise.
--
-- The refresh of the candles of a minute looks back no further than ticks are kept for certain: where they are dropped
-- it would empty the candles. That may be less than is kept from now on, and does not begin again with days that were restored.
-- The longer ones are made of shorter ones, which stay. Compression begins at an hour at which nothing is dropped: both at
-- once on one chunk deadlock.
CREATE OR REPLACE FUNCTION set_tick_policies(keep_days int, compress_after_days int) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    since_dropped interval := (
        SELECT CASE WHEN isfinite(ticks_dropped_before) THEN date_trunc('minute', now() - ticks_dropped_before) END
        FROM candle_progress
        FOR SHARE  -- who is dropping a day has written to it: this waits for that, or that for this
    );
    wanted record;
    found record;
    hypertable text;
BEGIN
    FOR wanted IN SELECT * FROM (VALUES
        (
            'candles_1m_aggregate',
            greatest(least(make_interval(days => keep_days) - INTERVAL '1 hour', since_dropped), INTERVAL '1 hour'),
            INTERVAL '1 minute'
        ),
        ('candles_5m_aggregate', make_interval(days => keep_days), INTERVAL '5 minutes'),
        ('candles_15m_aggregate', make_interval(days => keep_days), INTERVAL '15 minutes'),
        ('candles_1d_aggregate', make_interval(days => keep_days + 3), INTERVAL '1 hour')
    ) AS policies (aggregate, looks_back, every)
    LOOP
        SELECT (j.config ->> 'start_offset')::interval AS looks_back, j.schedule_interval AS every INTO found
        FROM timescaledb_information.jobs AS j
        JOIN timescaledb_information.continuous_aggregates AS c
        -- Which of the two names a job has depends on the version.
        ON (j.hypertable_schema, j.hypertable_name) IN (
            (c.view_schema, c.view_name), (c.materialization_hypertable_schema, c.materialization_hypertable_name)
        )
        WHERE j.proc_name = 'policy_refresh_continuous_aggregate'
        AND format('%I.%I', c.view_schema, c.view_name)::regclass = wanted.aggregate::regclass;
        CONTINUE WHEN found.looks_back = wanted.looks_back AND found.every = wanted.every;
        PERFORM set_refresh_policy(wanted.aggregate::regclass, wanted.looks_back, wanted.every);
    END LOOP;

    FOREACH hypertable IN ARRAY ARRAY['ticks', 'standby_ticks']
    LOOP
        SELECT (j.config ->> 'compress_after')::interval AS after INTO found
        FROM timescaledb_information.jobs AS j
        WHERE j.proc_name = 'policy_compression'
        AND format('%I.%I', j.hypertable_schema, j.hypertable_name)::regclass = hypertable::regclass;
        CONTINUE WHEN found.after = make_interval(days => compress_after_days);
        CALL remove_columnstore_policy(hypertable::regclass, if_exists => true);
        CALL add_columnstore_policy(
            hypertable::regclass, after => make_interval(days => compress_after_days),
            schedule_interval => INTERVAL '1 day',
            -- Ticks are dropped at half past midnight.
            initial_start => (date_trunc('day', now() AT TIME ZONE 'Asia/Kolkata') + INTERVAL '1 day 2 hours')
                AT TIME ZONE 'Asia/Kolkata'
        );
    END LOOP;
END
$$
