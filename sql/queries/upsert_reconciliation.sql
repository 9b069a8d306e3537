INSERT INTO reconciliations (
    day, instrument_id, broker, verdict, compared, agreeing, differing, missing, extra, not_compared,
    day_volume, broker_day_volume, unconfirmed
)
VALUES (
    :day, :instrument_id, :broker, :verdict, :compared, :agreeing, :differing, :missing, :extra, :not_compared,
    :day_volume, :broker_day_volume, :unconfirmed
)
ON CONFLICT (day, instrument_id) DO UPDATE SET
    broker = excluded.broker, verdict = excluded.verdict, compared = excluded.compared, agreeing = excluded.agreeing,
    differing = excluded.differing, missing = excluded.missing, extra = excluded.extra,
    not_compared = excluded.not_compared, day_volume = excluded.day_volume,
    broker_day_volume = excluded.broker_day_volume, unconfirmed = excluded.unconfirmed, reconciled_at = now()
