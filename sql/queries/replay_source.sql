-- The schema that unqualified names mean; whether it is one that was made for a replay; the others that names may fall through to.
SELECT
    current_schema()::text AS schema,
    coalesce(obj_description(to_regnamespace(quote_ident(current_schema())), 'pg_namespace') LIKE 'market_pipeline replay of %', false)
    AS is_replay
