SELECT count(*) AS ticks FROM ticks
