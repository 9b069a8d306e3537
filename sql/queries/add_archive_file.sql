INSERT INTO archive_files (day, path, kind, exchange, rows, bytes, sha256, content_sha256)
VALUES (:day, :path, :kind, :exchange, :rows, :bytes, :sha256, :content_sha256)
