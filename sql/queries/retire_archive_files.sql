-- The files of a day's last certificate, which another takes the place of; not those that are the only copy.
WITH retired AS (
    DELETE FROM archive_files WHERE day = :day AND NOT is_dropped RETURNING day, path
)
INSERT INTO archive_leftovers (location, path, day)
SELECT a.location, retired.path, retired.day FROM retired JOIN archives AS a USING (day)
ON CONFLICT (location, path) DO NOTHING
