SELECT stream, backlog_bytes::double precision AS value FROM dashboard_streams WHERE state <> 'stopped'
