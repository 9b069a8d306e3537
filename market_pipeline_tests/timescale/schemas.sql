-- Lets a schema be used by one test after the other: what one has left in it is deleted, and a schema whose objects are not
-- as they were made is known by its fingerprint.

CREATE SCHEMA reuse;

CREATE TABLE reuse.sequences (schema text, name text, last_value bigint, is_called boolean);

CREATE FUNCTION reuse.fingerprint(wanted text) RETURNS text LANGUAGE sql AS $$
    WITH ours AS (SELECT * FROM pg_class WHERE relnamespace = wanted::regnamespace),
    hypertables AS (
        SELECT id FROM _timescaledb_catalog.hypertable WHERE schema_name = wanted
        UNION ALL
        SELECT mat_hypertable_id FROM _timescaledb_catalog.continuous_agg WHERE user_view_schema = wanted
    )
    SELECT md5(string_agg(line, E'\n' ORDER BY line)) FROM (
        SELECT concat_ws(' ', oid, relname, relkind, relowner, relacl, reloptions) AS line FROM ours
        UNION ALL
        SELECT concat_ws(' ', attrelid, attnum, attname, atttypid, attnotnull, attacl)
        FROM pg_attribute WHERE attrelid IN (SELECT oid FROM ours)
        UNION ALL
        SELECT concat_ws(' ', attr.adrelid, attr.adnum, attr.adbin::text)
        FROM pg_attrdef AS attr WHERE attr.adrelid IN (SELECT oid FROM ours)
        UNION ALL
        SELECT concat_ws(' ', conrelid, conname, contype, convalidated, conbin::text)
        FROM pg_constraint WHERE connamespace = wanted::regnamespace
        UNION ALL
        SELECT concat_ws(' ', tgrelid, tgname, tgenabled, tgfoid) FROM pg_trigger WHERE tgrelid IN (SELECT oid FROM ours)
        UNION ALL
        SELECT concat_ws(' ', ev_class, rulename, md5(ev_action::text)) FROM pg_rewrite WHERE ev_class IN (SELECT oid FROM ours)
        UNION ALL
        SELECT concat_ws(' ', oid, proname, md5(prosrc), proowner, proacl, prosecdef, proconfig)
        FROM pg_proc WHERE pronamespace = wanted::regnamespace
        UNION ALL
        SELECT concat_ws(' ', nspowner, nspacl) FROM pg_namespace WHERE nspname = wanted
        UNION ALL
        SELECT job::text FROM _timescaledb_config.bgw_job AS job WHERE job.hypertable_id IN (SELECT id FROM hypertables)
        UNION ALL
        SELECT setting::text FROM _timescaledb_catalog.compression_settings AS setting
        WHERE setting.relid IN (SELECT oid FROM ours)
    ) AS lines
$$;

-- Notes what a schema holds when it has just been made.
CREATE FUNCTION reuse.note(wanted text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    relation record;
    has_rows boolean;
BEGIN
    EXECUTE format('CREATE SCHEMA %I', wanted || '_made');
    FOR relation IN SELECT relname, relkind FROM pg_class WHERE relnamespace = wanted::regnamespace AND relkind IN ('r', 'S')
    LOOP
        IF relation.relkind = 'S' THEN
            EXECUTE format(
                'INSERT INTO reuse.sequences SELECT %1$L, %2$L, last_value, is_called FROM %1$I.%2$I', wanted, relation.relname
            );
            CONTINUE;
        END IF;
        EXECUTE format('SELECT EXISTS (SELECT FROM %I.%I)', wanted, relation.relname) INTO has_rows;
        IF has_rows THEN
            EXECUTE format('CREATE TABLE %1$I.%2$I AS TABLE %3$I.%2$I', wanted || '_made', relation.relname, wanted);
        END IF;
    END LOOP;
END
$$;

-- Makes a schema hold that again, and nothing else.
CREATE FUNCTION reuse.empty(wanted text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    found record;
BEGIN
    EXECUTE (
        SELECT format('TRUNCATE %s CASCADE', string_agg(format('%I.%I', wanted, relname), ', '))
        FROM pg_class WHERE relnamespace = wanted::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
    );
    FOR found IN SELECT user_view_name AS name FROM _timescaledb_catalog.continuous_agg WHERE user_view_schema = wanted
    LOOP
        EXECUTE format('TRUNCATE %I.%I', wanted, found.name);
    END LOOP;
    SET LOCAL session_replication_role = replica;  -- no triggers, and references in any order
    FOR found IN
        SELECT c.relname AS name, string_agg(quote_ident(a.attname), ', ') AS columns
        FROM pg_class AS c
        JOIN pg_attribute AS a ON a.attrelid = format('%I.%I', wanted, c.relname)::regclass
        WHERE c.relnamespace = (wanted || '_made')::regnamespace
        AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
        GROUP BY 1
    LOOP
        EXECUTE format(
            'INSERT INTO %1$I.%2$I (%3$s) OVERRIDING SYSTEM VALUE SELECT %3$s FROM %4$I.%2$I',
            wanted, found.name, found.columns, wanted || '_made'
        );
    END LOOP;
    SET LOCAL session_replication_role = origin;
    PERFORM setval(format('%I.%I', wanted, name)::regclass, last_value, is_called) FROM reuse.sequences WHERE schema = wanted;
END
$$;
