-- Makes the partition of a day, with the rights of the table that it is a part of.
CREATE OR REPLACE FUNCTION create_tick_partition(parent text, day date) RETURNS regclass LANGUAGE plpgsql AS $$
DECLARE
    partition text := parent || '_' || to_char(day, 'YYYYMMDD');
BEGIN
    -- Attaching, unlike CREATE TABLE ... PARTITION OF, does not lock out readers and writers.
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS)', partition, parent);
    PERFORM attach_tick_partition(parent, partition, day);
    RETURN partition::regclass;
END
$$
