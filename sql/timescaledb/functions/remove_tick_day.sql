-- Deletes the ticks of a day and what stood by, and nothing of other days: drop_chunks() alone would take older days with it,
-- which may have to stay. Only drop_archived_day() may: it asks for a certificate.
--
-- A chunk lasts from 05:30 to 05:30 in India. No exchange trades after midnight, so whole chunks go; where something did, as on
-- the simulated exchange, rows of the chunk that is shared with another day are deleted.
CREATE OR REPLACE FUNCTION remove_tick_day(unwanted date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    starts timestamptz := unwanted::timestamp AT TIME ZONE 'Asia/Kolkata';
    ends timestamptz := (unwanted + 1)::timestamp AT TIME ZONE 'Asia/Kolkata';
    hypertable text;
    chunk record;
    is_shared boolean;
BEGIN
    PERFORM require_short_candle_refresh(ends);
    -- Of compressed rows only so many may be deleted otherwise.
    PERFORM set_config('timescaledb.max_tuples_decompressed_per_dml_transaction', '0', true);
    FOREACH hypertable IN ARRAY ARRAY['ticks', 'standby_ticks']
    LOOP
        FOR chunk IN
            SELECT c.range_start, c.range_end FROM timescaledb_information.chunks AS c
            WHERE format('%I.%I', c.hypertable_schema, c.hypertable_name)::regclass = hypertable::regclass
            AND c.range_start < ends AND c.range_end > starts
        LOOP
            EXECUTE format(
                'SELECT EXISTS (SELECT FROM %1$I WHERE time >= $1 AND time < $2)'
                ' OR EXISTS (SELECT FROM %1$I WHERE time >= $3 AND time < $4)', hypertable
            ) INTO is_shared USING chunk.range_start, starts, ends, chunk.range_end;
            IF is_shared THEN
                EXECUTE format('DELETE FROM %I WHERE time >= $1 AND time < $2', hypertable)
                USING greatest(starts, chunk.range_start), least(ends, chunk.range_end);
            ELSE
                PERFORM drop_chunks(
                    hypertable::regclass, older_than => chunk.range_end, newer_than => chunk.range_start
                );
            END IF;
        END LOOP;
    END LOOP;
    UPDATE tick_days SET dropped_at = now() WHERE day = unwanted;
END
$$;
