LISTEN ticks
