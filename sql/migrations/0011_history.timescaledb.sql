-- The broker's candles become a hypertable of month-long chunks, compressed once a week old.

SELECT create_hypertable(
    'broker_candles', by_range('time', INTERVAL '30 days'), create_default_indexes => false, migrate_data => true
);
ALTER TABLE broker_candles SET (
    timescaledb.enable_columnstore,
    timescaledb.segmentby = 'instrument_id, minutes, broker',
    timescaledb.orderby = 'time'
);
-- Backfills and corrections still reach what is compressed.
CALL add_columnstore_policy('broker_candles', after => INTERVAL '7 days');
