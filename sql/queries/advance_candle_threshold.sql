-- From now on a tick before the threshold is a late one. Runs under the exclusive candle lock.
UPDATE candle_progress SET threshold = greatest(
    threshold,
    :at_least,
    (
        -- Some grace, so that an ordinary tick just behind the newest is not counted as late.
        SELECT date_bin('1 minute', max(last_event_at) - interval '5 seconds', TIMESTAMPTZ '2000-01-03 00:00:00+00')
        FROM journal_positions
    )
)
