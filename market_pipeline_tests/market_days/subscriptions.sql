INSERT INTO subscriptions (instrument_id, since) SELECT instrument_id, now() - INTERVAL '30 days' FROM instruments
