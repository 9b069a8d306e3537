-- End what is said of streams that nobody wants any more and of which nothing is heard: they would be in trouble for ever.
UPDATE streams
SET state = 'stopped', detail = format('nobody wants it any more; it was %s: %s', state, detail)
WHERE stream = ANY (:streams::text[]) AND heartbeat_at < now() - INTERVAL '45 seconds'
