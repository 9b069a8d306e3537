-- The statements that make a replay's schema and note whose it is: a schema without that note is never dropped.
SELECT format('CREATE SCHEMA %I', :schema::text) AS statement
UNION ALL
SELECT format('COMMENT ON SCHEMA %I IS %L', :schema::text, format('market_pipeline replay of %s from schema %s', :day::date, :source::text))
