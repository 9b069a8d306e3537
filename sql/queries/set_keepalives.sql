-- So that the server notices within half a minute that the other side is gone, and frees its locks.
SELECT
    set_config('tcp_keepalives_idle', '15', false),
    set_config('tcp_keepalives_interval', '5', false),
    set_config('tcp_keepalives_count', '3', false)
