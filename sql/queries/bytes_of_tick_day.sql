-- Of a day's partition of ticks with its indexes; NULL where days are no tables of their own.
SELECT pg_total_relation_size((SELECT relation FROM tick_days WHERE day = :day)) AS bytes
