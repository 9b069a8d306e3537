-- Nothing, where a tick of the day was written since the work began.
DELETE FROM archive_work WHERE day = :day AND changed_at IS NULL
