-- An index, its future, shares, and options of the index at so many strikes, in so many weeks.
INSERT INTO instruments
    (exchange, segment, exchange_token, symbol, name, kind, underlying, expiry, strike, lot_size, tick_size)
SELECT 'NSE', 'CM', 'index', 'NIFTY 50', 'Nifty 50', 'INDEX', NULL, NULL::date, NULL::double precision, NULL::bigint, 0.05
UNION ALL
SELECT 'NFO', 'FO', 'future', 'NIFTYFUT', 'Nifty', 'FUT', 'NIFTY', %(expiry)s::date, NULL, 75, 0.05
UNION ALL
SELECT 'NSE', 'CM', n::text, 'SHARE' || n, 'Share ' || n, 'EQ', NULL, NULL, NULL, 1, 0.05
FROM generate_series(1, %(shares)s) AS n
UNION ALL
SELECT
    'NFO', 'FO', format('%%s%%s%%s', kind, n, week), format('NIFTY%%s%%s%%s', week, 24000 + 50 * n, kind), 'Nifty', kind,
    'NIFTY', %(expiry)s::date + 7 * week, 24000 + 50 * n, 75, 0.05
FROM generate_series(-%(strikes)s / 2, (%(strikes)s - 1) / 2) AS n, generate_series(0, %(weeks)s - 1) AS week,
unnest(ARRAY['CE', 'PE']) AS kind
