-- Raises where the day must stay. Runs under the exclusive candle lock.
SELECT drop_archived_day(:day)
