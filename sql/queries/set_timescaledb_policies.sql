SELECT set_tick_policies(:keep_days, :compress_after_days)
