UPDATE archives SET damage = :damage, verified_at = clock_timestamp() WHERE day = :day
