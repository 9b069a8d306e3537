SELECT sha256 FROM candle_definitions WHERE name = :name
