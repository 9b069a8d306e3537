SELECT instrument_id, exchange || ':' || symbol AS name FROM instruments WHERE instrument_id = ANY(:instrument_ids::bigint[])
