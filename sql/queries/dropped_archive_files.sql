-- Of the files of a day's certificate, those whose rows the database has no more.
SELECT path, kind, exchange, rows, bytes, sha256, content_sha256 FROM archive_files
WHERE day = :day AND is_dropped ORDER BY path
