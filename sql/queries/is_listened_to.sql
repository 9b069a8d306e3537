SELECT EXISTS (SELECT FROM tick_listeners WHERE seen_at > clock_timestamp() - INTERVAL '1 minute')
