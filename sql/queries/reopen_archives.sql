-- The archive of these days lacks what is being written: see 0018_archives.sql.
SELECT reopen_archives(:days::date[])
