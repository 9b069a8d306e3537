-- Days before a date whose ticks are still stored, the oldest first.
SELECT day FROM tick_days WHERE day < :before AND dropped_at IS NULL ORDER BY day
