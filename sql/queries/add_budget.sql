INSERT INTO broker_budgets (broker, account, budget) VALUES (:broker, :account, :budget)
ON CONFLICT DO NOTHING
