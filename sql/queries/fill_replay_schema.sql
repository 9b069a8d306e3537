-- The statements that copy into a replay's schema what its day needs of the pipeline's: everything of instruments and sessions,
-- and of the period gaps, or with :is_repaired what the broker had otherwise. All names in them are qualified.
WITH wanted (position, name, condition) AS (
    VALUES
    (1, 'instruments', 'true'),
    (2, 'broker_instruments', 'true'),
    (3, 'instrument_history', 'true'),
    (4, 'feeds', 'true'),
    (5, 'trading_sessions', 'true'),
    (
        6, 'subscriptions',
        format('%L::bigint[] IS NULL OR instrument_id = ANY (%L::bigint[])', :instrument_ids::bigint[], :instrument_ids::bigint[])
    ),
    (
        7, 'gaps',
        format(
            '%L AND started_at < %L AND (ended_at IS NULL OR ended_at > %L)',
            :has_gaps::boolean, :ends_at::timestamptz, :starts_at::timestamptz
        )
    ),
    (
        8, 'candle_repairs',
        format('%L AND time >= %L AND time < %L', :is_repaired::boolean, :starts_at::timestamptz, :ends_at::timestamptz)
    ),
    (
        9, 'broker_candles',
        format('%L AND time >= %L AND time < %L', :is_repaired::boolean, :starts_at::timestamptz, :ends_at::timestamptz)
    ),
    (
        10, 'reconciliations',
        format(
            '%L AND day = (%L::timestamptz AT TIME ZONE ''Asia/Kolkata'')::date', :is_repaired::boolean, :starts_at::timestamptz
        )
    )
)
SELECT format(
    'INSERT INTO %I.%I (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM %I.%I WHERE %s',
    :schema::text, w.name, c.names, c.names, :source::text, w.name, w.condition
) AS statement
FROM wanted AS w
CROSS JOIN LATERAL (
    SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) AS names
    FROM pg_attribute AS a
    WHERE a.attrelid = to_regclass(format('%I.%I', :schema::text, w.name)) AND a.attnum > 0 AND NOT a.attisdropped
) AS c
ORDER BY w.position
