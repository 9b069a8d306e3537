-- The gaps of a broker's feed; a feed may have gaps that another has covered.
SELECT started_at, ended_at, cause FROM gaps
WHERE (ended_at >= :since OR ended_at IS NULL) AND (broker = :broker OR broker IS NULL)
ORDER BY started_at
