INSERT INTO archive_leftovers (location, path, day) VALUES (:location, :path, :day)
ON CONFLICT (location, path) DO NOTHING
