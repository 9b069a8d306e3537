COPY rebuild_new (
    time, instrument_id, seq, last_price, last_quantity, average_price, day_volume, volume,
    open_interest, buy_quantity, sell_quantity, bid_price, bid_quantity, ask_price, ask_quantity,
    high, low, exchange_time, received_at, is_trade, feed
) FROM STDIN (FORMAT binary)
