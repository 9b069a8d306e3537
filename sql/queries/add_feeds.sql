INSERT INTO feeds (broker) SELECT unnest(:brokers::text[]) ON CONFLICT (broker) DO NOTHING
