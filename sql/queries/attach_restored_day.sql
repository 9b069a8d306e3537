SELECT attach_restored_day(:day::date, :kept_until::timestamptz)
