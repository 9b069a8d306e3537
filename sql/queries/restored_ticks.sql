-- As archived_ticks.sql, of a day that is being restored.
SELECT
    time, instrument_id, seq, last_price, last_quantity, average_price, day_volume, volume, open_interest,
    buy_quantity, sell_quantity, bid_price, bid_quantity, ask_price, ask_quantity, high, low, exchange_time,
    received_at, is_trade, feed
FROM restored_ticks
WHERE instrument_id = ANY (current_setting('archive.instrument_ids')::bigint[])
AND time >= current_setting('archive.starts_at')::timestamptz AND time < current_setting('archive.ends_at')::timestamptz
ORDER BY
    instrument_id, time, seq, received_at, feed, last_price, last_quantity, average_price, day_volume, volume,
    open_interest, buy_quantity, sell_quantity, bid_price, bid_quantity, ask_price, ask_quantity, high, low,
    exchange_time, is_trade
