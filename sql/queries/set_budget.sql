UPDATE broker_budgets SET state = :state::text::jsonb
WHERE broker = :broker AND account = :account AND budget = :budget
