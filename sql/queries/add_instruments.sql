INSERT INTO instruments (
    exchange, segment, exchange_token, symbol, name, kind, underlying, expiry, strike, lot_size, tick_size, listed_on
)
SELECT
    exchange, segment, exchange_token, symbol, coalesce(name, symbol), kind, underlying, expiry, strike,
    lot_size, tick_size, :today
FROM instrument_master
ON CONFLICT (exchange, segment, exchange_token, kind, expiry, strike) DO NOTHING
