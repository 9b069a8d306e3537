SELECT
    symbol, ltp, change_percent, volume, open_interest, age,
    CASE WHEN is_stale THEN 'silent' WHEN time IS NULL THEN 'nothing yet' ELSE 'live' END AS state,
    instrument_id
FROM dashboard_watch_list()
