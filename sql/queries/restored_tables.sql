-- Where a day that is being restored goes: on TimescaleDB restored_ticks is a view that nothing can be copied to.
SELECT
    CASE c.relkind WHEN 'v' THEN 'ticks' ELSE 'restored_ticks' END AS ticks,
    CASE c.relkind WHEN 'v' THEN 'standby_ticks' ELSE 'restored_standby_ticks' END AS standby_ticks
FROM pg_class AS c WHERE c.oid = 'restored_ticks'::regclass
