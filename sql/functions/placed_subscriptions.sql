-- Which stream each active subscription belongs to, of those that at least one of the brokers offers. The first broker is the
-- preferred one and names the streams. Newcomers join at the end, so that the others stay on the connections they are on.
CREATE OR REPLACE FUNCTION placed_subscriptions(brokers text[], per_stream bigint) RETURNS TABLE (
    instrument_id bigint, mode text, stream text
) LANGUAGE sql STABLE AS $$
    SELECT
        s.instrument_id,
        s.mode,
        brokers[1] || '-' || (row_number() OVER (ORDER BY s.since, s.instrument_id) - 1) / per_stream
    FROM subscriptions AS s
    WHERE s.is_active AND (SELECT is_streaming FROM desired_state) AND EXISTS (
        SELECT FROM broker_instruments AS b
        WHERE b.instrument_id = s.instrument_id AND b.broker = ANY (brokers) AND b.valid_to IS NULL
    )
$$
