SELECT index_restored_day(:day::date)
