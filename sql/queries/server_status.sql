SELECT current_setting('server_version') AS server_version, pg_database_size(current_database()) AS database_bytes
