-- What somebody who mistyped a word may have meant: symbols and names of what is listed, and underlyings.
SELECT DISTINCT upper(word) AS word
FROM (
    SELECT symbol AS word FROM instruments WHERE underlying IS NULL AND delisted_on IS NULL
    UNION ALL
    SELECT regexp_split_to_table(name, '\s+') FROM instruments WHERE underlying IS NULL AND delisted_on IS NULL
    UNION ALL
    SELECT underlying FROM instruments WHERE underlying IS NOT NULL AND delisted_on IS NULL
) AS words
WHERE abs(length(word) - :length::bigint) <= 2
