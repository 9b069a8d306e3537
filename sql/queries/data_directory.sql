-- Where a server on this machine keeps its data; no row where it is on another one or may not be told.
SELECT setting AS folder FROM pg_settings
WHERE name = 'data_directory' AND (inet_server_addr() IS NULL OR host(inet_server_addr()) IN ('127.0.0.1', '::1'))
