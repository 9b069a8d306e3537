SELECT broker, budget, requests_of_day, requests, refusals, paused_until FROM dashboard_budgets
