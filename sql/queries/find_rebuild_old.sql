-- The stream numbers its ticks without a hole: those of the stretch are `count` from `first` on.
INSERT INTO rebuild_old
SELECT t.* FROM ticks AS t
JOIN rebuild_frames AS f ON f.received_at = t.received_at
WHERE t.time >= :since AND t.time < :until
AND (t.seq - :first::bigint) & 4294967295 < :count::bigint
