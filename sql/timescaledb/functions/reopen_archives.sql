-- As 0018_archives.sql has it, and a day that was dropped is there again: writers do not ask for it each time, and a hypertable,
-- unlike a partition that is gone, takes ticks of any day. Else they would be neither archived nor dropped again.
CREATE OR REPLACE FUNCTION reopen_archives(days date[]) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    UPDATE tick_days SET created_at = now(), dropped_at = NULL WHERE day = ANY (days) AND dropped_at IS NOT NULL;
    UPDATE archives SET changed_at = now() WHERE day = ANY (days) AND changed_at IS NULL;
    UPDATE archive_work SET changed_at = now() WHERE day = ANY (days) AND changed_at IS NULL;
$$;
