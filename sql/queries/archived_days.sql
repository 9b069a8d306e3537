-- Days that are archived at a location, those first that were not looked at for the longest.
SELECT day, verified_at, damage FROM archives WHERE location = :location ORDER BY verified_at, day
