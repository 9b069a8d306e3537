SELECT path FROM archive_leftovers WHERE location = :location AND day = :day ORDER BY path
