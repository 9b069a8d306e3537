SELECT why_tick_day_stays(:day)
