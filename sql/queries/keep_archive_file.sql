-- It is in a certificate now.
DELETE FROM archive_leftovers WHERE location = :location AND path = :path
