-- One program archives or verifies a day; held until the connection closes.
SELECT pg_try_advisory_lock(hashtextextended('archive ' || current_schema() || ' ' || :day::date, 0))
