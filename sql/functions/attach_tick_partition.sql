-- Makes a table the partition of a day, with the rights of the table that it becomes a part of.
CREATE OR REPLACE FUNCTION attach_tick_partition(parent text, partition text, day date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    held record;
BEGIN
    EXECUTE format(
        'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, partition,
        day::timestamp AT TIME ZONE 'Asia/Kolkata', (day + 1)::timestamp AT TIME ZONE 'Asia/Kolkata'
    );
    FOR held IN
        SELECT a.grantee::regrole AS grantee, string_agg(a.privilege_type, ', ') AS privileges
        FROM pg_class AS c
        CROSS JOIN LATERAL aclexplode(c.relacl) AS a
        WHERE c.oid = parent::regclass AND a.grantee NOT IN (0, c.relowner)
        GROUP BY a.grantee
    LOOP
        EXECUTE format('GRANT %s ON %I TO %s', held.privileges, partition, held.grantee);
    END LOOP;
END
$$
