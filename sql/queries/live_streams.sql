SELECT stream, state, instruments, ticks, ticks_per_second, lag_ms FROM streams ORDER BY stream
