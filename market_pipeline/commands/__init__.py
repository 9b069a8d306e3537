"""The commands of `market-pipeline`, grouped by what they work on."""
