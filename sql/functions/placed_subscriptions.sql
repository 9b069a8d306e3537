-- Which stream each active subscription belongs to, of those that at least one of the brokers offers; see find_places. The first
-- broker is the preferred one and names the streams.
CREATE OR REPLACE FUNCTION placed_subscriptions(brokers text[], per_stream bigint) RETURNS TABLE (
    instrument_id bigint, mode text, stream text
) LANGUAGE sql STABLE AS $$
    SELECT instrument_id, mode, brokers[1] || '-' || number FROM find_places(brokers, per_stream) WHERE number IS NOT NULL
$$
