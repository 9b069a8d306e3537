SELECT pg_notify('ticks', json_build_object('stream', :stream::text, 'arrivals', :arrivals::bigint)::text)
