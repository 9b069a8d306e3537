UPDATE archives SET location = :location, verified_at = clock_timestamp(), damage = NULL WHERE day = :day
