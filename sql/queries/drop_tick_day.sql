SELECT drop_tick_day(:day)
