-- A row for each right that could not be given or taken.
SELECT grant_access()
