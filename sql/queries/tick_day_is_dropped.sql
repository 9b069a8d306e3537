SELECT FROM tick_days WHERE day = :day AND dropped_at IS NOT NULL
