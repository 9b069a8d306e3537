-- Deletes the ticks of a day and what stood by, and nothing of other days. Only drop_archived_day() may: it asks for a certificate.
CREATE OR REPLACE FUNCTION remove_tick_day(unwanted date) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM drop_tick_day(unwanted);
END
$$;
