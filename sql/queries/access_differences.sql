-- Rights of the roles that are missing or too many, by role and what for.
SELECT grantee AS role, is_missing, string_agg(DISTINCT privilege, ', ') AS privileges, count(DISTINCT target) AS targets, min(target) AS first
FROM access_differences()
GROUP BY grantee, is_missing
ORDER BY grantee, is_missing
