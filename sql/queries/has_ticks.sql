SELECT EXISTS (SELECT FROM ticks WHERE time >= :starts_at AND time < :ends_at)
OR EXISTS (SELECT FROM standby_ticks WHERE time >= :starts_at AND time < :ends_at)
