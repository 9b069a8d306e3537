-- Counts the instruments for the planner, which only their owner may have done.
CREATE OR REPLACE FUNCTION analyze_instruments() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    ANALYZE instruments, broker_instruments;
END
$$
