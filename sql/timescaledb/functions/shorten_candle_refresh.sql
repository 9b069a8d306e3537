-- Ticks are dropped only where the server's own refresh of the candles of a minute does not look: it would empty them.
--
-- shorten_candle_refresh() lets it look back no further, and is committed before the drop, which asks
-- require_short_candle_refresh() in its own transaction. A run takes what it looks at from its job when it begins. So one that
-- began with a longer look back is known in the drop: its job is there no more, or it has run for too long; the drop is then
-- refused for now. One that begins later has the shorter one, and set_tick_policies() makes it no longer.
CREATE OR REPLACE FUNCTION candle_refresh_policies() RETURNS TABLE (job_id int, looks_back interval, every interval)
LANGUAGE sql STABLE AS $$
    SELECT j.job_id, (j.config ->> 'start_offset')::interval, j.schedule_interval
    FROM timescaledb_information.jobs AS j
    JOIN timescaledb_information.continuous_aggregates AS c
    -- Which of the two names a job has depends on the version.
    ON (j.hypertable_schema, j.hypertable_name) IN (
        (c.view_schema, c.view_name), (c.materialization_hypertable_schema, c.materialization_hypertable_name)
    )
    WHERE j.proc_name = 'policy_refresh_continuous_aggregate'
    AND format('%I.%I', c.view_schema, c.view_name)::regclass = 'candles_1m_aggregate'::regclass
$$;

-- Runs of jobs that refresh whichever aggregate; when they began is told of roles' that we are a member of.
CREATE OR REPLACE FUNCTION candle_refresh_runs() RETURNS TABLE (job_id int, began_at timestamptz) LANGUAGE sql STABLE AS $$
    SELECT substring(application_name FROM '^Refresh Continuous Aggregate Policy \[(\d+)\]$')::int, backend_start
    FROM pg_stat_activity
    WHERE datname = current_database() AND application_name ~ '^Refresh Continuous Aggregate Policy \[\d+\]$'
$$;

CREATE OR REPLACE FUNCTION shorten_candle_refresh(dropped_before timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    -- In minutes, whatever the hours of days are where the server is.
    wanted interval := make_interval(mins => floor(extract(epoch FROM now() - dropped_before) / 60)::int);
    every interval;
BEGIN
    SELECT min(p.every) INTO every FROM candle_refresh_policies() AS p
    WHERE p.looks_back IS NULL OR now() - p.looks_back < dropped_before;
    IF every IS NULL THEN
        RETURN;
    END IF;
    IF wanted < INTERVAL '1 hour' THEN
        RAISE EXCEPTION 'ticks before % stay until an hour later: so far at least the server looks back for candles',
            dropped_before;
    END IF;
    PERFORM set_refresh_policy('candles_1m_aggregate'::regclass, wanted, every);
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'ticks before % stay: the server looks back past it for candles, and whose tables these are may not '
            'change that (%): run `market-pipeline db init` as a role that may', dropped_before, SQLERRM;
END
$$;

CREATE OR REPLACE FUNCTION require_short_candle_refresh(dropped_before timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM candle_refresh_policies() AS p WHERE p.looks_back IS NULL OR now() - p.looks_back < dropped_before
    ) THEN
        RAISE EXCEPTION 'ticks before % stay: the server looks back past it for candles: '
            'SELECT shorten_candle_refresh(''%'') first', dropped_before, dropped_before;
    END IF;
    IF EXISTS (
        SELECT FROM candle_refresh_runs() AS r
        LEFT JOIN candle_refresh_policies() AS p USING (job_id)
        WHERE CASE
            WHEN p.job_id IS NULL THEN r.job_id NOT IN (SELECT j.job_id FROM timescaledb_information.jobs AS j)
            ELSE coalesce(r.began_at - p.looks_back < dropped_before, true)
        END
    ) THEN
        RAISE EXCEPTION 'ticks before % stay for now: a refresh of candles that began earlier looks back past it', dropped_before
        USING ERRCODE = 'lock_not_available';
    END IF;
END
$$;
