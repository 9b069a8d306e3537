-- How often each broker was asked today and was refused, for each kind of request.
CREATE OR REPLACE VIEW dashboard_budgets AS
SELECT
    broker,
    budget,
    sum(requests_of_day)::bigint AS requests_of_day,
    sum(requests)::bigint AS requests,
    sum(refusals)::bigint AS refusals,
    max(paused_until) FILTER (WHERE paused_until > now()) AS paused_until
FROM broker_budgets
GROUP BY broker, budget
ORDER BY broker, budget;
