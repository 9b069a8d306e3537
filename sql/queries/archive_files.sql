-- The files of a day's certificate.
SELECT path, kind, exchange, rows, bytes, sha256, content_sha256 FROM archive_files WHERE day = :day ORDER BY path
