-- Those that the calendar does not have any more.
DELETE FROM trading_sessions AS s
WHERE NOT EXISTS (
    SELECT FROM unnest(:exchanges::text[], :days::date[]) AS c (exchange, day)
    WHERE (c.exchange, c.day) = (s.exchange, s.day)
)
