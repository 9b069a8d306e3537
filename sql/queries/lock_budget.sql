-- The time is read after the lock was given, which may take a while.
WITH locked AS MATERIALIZED (
    SELECT state FROM broker_budgets
    WHERE broker = :broker AND account = :account AND budget = :budget
    FOR UPDATE
)
SELECT state::text, extract(epoch FROM clock_timestamp())::double precision FROM locked
