INSERT INTO backfills (
    broker, instrument_id, minutes, starts_at, ends_at, purpose, asked_at, outcome, candles, detail
)
VALUES (
    :broker, :instrument_id, :minutes, :starts_at, :ends_at, :purpose, :asked_at, :outcome, :candles, :detail
)
