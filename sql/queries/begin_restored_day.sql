SELECT begin_restored_day(:day::date)
