-- Not where a broker that goes before this one names it.
UPDATE instruments AS i SET symbol = r.symbol FROM resolved_instruments AS r
WHERE i.instrument_id = r.instrument_id AND i.symbol <> r.symbol
AND NOT EXISTS (
    SELECT FROM broker_instruments AS b
    WHERE b.instrument_id = i.instrument_id AND b.valid_to IS NULL AND b.broker = ANY (:yields_to::text[])
)
