DELETE FROM ticks AS t USING rebuild_gone AS g
WHERE t.instrument_id = g.instrument_id AND t.time = g.time AND t.seq = g.seq AND t.received_at = g.received_at
AND t.time >= (SELECT min(time) FROM rebuild_gone) AND t.time <= (SELECT max(time) FROM rebuild_gone)
