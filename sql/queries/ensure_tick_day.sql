SELECT ensure_tick_day(:day)
