-- What any of some brokers offers that a reading of a text may mean, best first; the token is that of the first of them
-- which offers it. Cash and indices are found by words that stand in their symbol or name, derivatives by what they are
-- derived from or by the beginning of their own symbol.
--
-- rank: 0 what is called so, 1 its futures; 2 what begins so, 3 its futures; 4 what has the words in its symbol, 5;
-- 6 what has them in its name, 7; from 10 on options in the same order. Indices are called by their underlying as well.
-- :compact is the text without spaces, :beginning and :patterns are for LIKE. Empty arrays and NULL: anything.
WITH RECURSIVE underlyings AS (
    -- Each there is, by one step through the index.
    (SELECT underlying FROM instruments WHERE underlying IS NOT NULL ORDER BY underlying LIMIT 1)
    UNION ALL
    SELECT (
        SELECT i.underlying FROM instruments AS i
        WHERE i.underlying > u.underlying ORDER BY i.underlying LIMIT 1
    ) FROM underlyings AS u WHERE u.underlying IS NOT NULL
),
cash AS MATERIALIZED (
    SELECT
        i.*,
        CASE
            WHEN :compact::text IN (s.compact, s.called) THEN 0
            WHEN s.compact LIKE :beginning::text OR s.called LIKE :beginning THEN 2
            WHEN s.symbols LIKE ALL (:patterns::text[]) THEN 4
            ELSE 6
        END AS rank,
        coalesce(s.called, i.symbol) AS called
    FROM instruments AS i
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN i.kind = 'INDEX' THEN (:their_underlyings::text[])[array_position(:indices::text[], i.symbol)]
        END AS called
        OFFSET 0
    ) AS known
    CROSS JOIN LATERAL (
        SELECT
            known.called,
            replace(upper(i.symbol), ' ', '') AS compact,
            upper(concat_ws(' ', i.symbol, known.called)) AS symbols
        OFFSET 0
    ) AS s
    WHERE i.underlying IS NULL AND (i.delisted_on IS NULL OR :with_expired::boolean)
    AND ((s.symbols || ' ' || upper(i.name)) LIKE ALL (:patterns) OR s.compact LIKE :beginning)
),
meant AS MATERIALIZED (
    SELECT u.underlying, least(
        min(cash.rank),
        CASE
            WHEN u.underlying = :compact THEN 0
            WHEN u.underlying LIKE :beginning THEN 2
            WHEN u.underlying LIKE ALL (:patterns) THEN 4
        END
    ) AS rank
    FROM underlyings AS u
    LEFT JOIN cash ON cash.called = u.underlying
    WHERE cash.rank IS NOT NULL OR u.underlying LIKE ALL (:patterns) OR u.underlying LIKE :beginning
    GROUP BY u.underlying
),
candidates AS (
    SELECT * FROM cash
    UNION ALL
    SELECT i.*, meant.rank + CASE WHEN i.kind = 'FUT' THEN 1 ELSE 10 END, meant.underlying
    FROM meant
    CROSS JOIN LATERAL (
        SELECT * FROM instruments
        WHERE underlying = meant.underlying AND (expiry >= :today::date OR :with_expired)
        -- Options are too many unless they are asked for.
        AND (
            kind = 'FUT' OR meant.rank = 0
            OR :strike::double precision IS NOT NULL OR :kinds::text[] && ARRAY['CE', 'PE']
        )
        -- An index scan for each underlying, whatever the planner thinks of their number.
        OFFSET 0
    ) AS i
    UNION ALL
    SELECT i.*, CASE WHEN upper(i.symbol) = :compact THEN 0 ELSE 3 END, i.underlying
    FROM instruments AS i
    WHERE upper(i.symbol) LIKE :beginning AND i.underlying IS NOT NULL AND :compact ~ '[0-9]'
    UNION ALL
    SELECT i.*, 0, i.underlying
    FROM broker_instruments AS b
    JOIN instruments AS i ON i.instrument_id = b.instrument_id
    WHERE b.broker = ANY (:brokers::text[]) AND b.token = :token::bigint
),
found AS (
    SELECT DISTINCT ON (instrument_id) *
    FROM candidates
    WHERE (:with_expired OR (delisted_on IS NULL AND (expiry IS NULL OR expiry >= :today)))
    AND exchange = ALL (:exchanges::text[])
    AND (segment = :segment::text OR :segment IS NULL)
    AND (kind = ANY (:kinds) OR :kinds = '{}')
    AND (kind = :kind::text OR :kind IS NULL)
    AND (underlying = :underlying::text OR :underlying IS NULL)
    AND (strike = :strike OR :strike IS NULL)
    AND expiry = ALL (:expiries::date[])
    AND (extract(MONTH FROM expiry) = :month::bigint OR :month IS NULL)
    AND (
        (:day::bigint IS NULL AND :year::bigint IS NULL)
        OR extract(DAY FROM expiry) = :day OR extract(YEAR FROM expiry) = :year
    )
    ORDER BY instrument_id, rank
),
-- Sorted before they are joined, so that the tokens of a few are looked for and not of all.
sorted AS (
    SELECT
        *,
        coalesce(expiry < :today, false) AS has_expired,
        length(symbol) AS symbol_length,
        array_position(ARRAY['NSE', 'NFO', 'BSE', 'BFO', 'CDS', 'BCD', 'MCX', 'NCO'], exchange) AS place
    FROM found
    ORDER BY rank, has_expired, expiry NULLS FIRST, strike NULLS FIRST, symbol_length, place, symbol
)
SELECT
    i.instrument_id, i.exchange, i.segment, i.symbol, i.name, i.kind, i.underlying, i.expiry, i.strike,
    i.lot_size, i.tick_size, b.token, i.rank
FROM sorted AS i
CROSS JOIN LATERAL (
    SELECT token FROM broker_instruments
    WHERE instrument_id = i.instrument_id AND broker = ANY (:brokers) AND (valid_to IS NULL OR :with_expired)
    ORDER BY valid_to IS NOT NULL, array_position(:brokers, broker), valid_from DESC LIMIT 1
) AS b
ORDER BY
    i.rank, i.has_expired, i.expiry NULLS FIRST, i.strike NULLS FIRST, i.symbol_length, i.place, i.symbol
LIMIT :rows::bigint
