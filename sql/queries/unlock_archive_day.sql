SELECT pg_advisory_unlock(hashtextextended('archive ' || current_schema() || ' ' || :day::date, 0))
