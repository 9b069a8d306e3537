SELECT
    part, bytes, compressed_from_bytes, compressed_to_bytes,
    compressed_from_bytes::double precision / nullif(compressed_to_bytes, 0) AS ratio
FROM dashboard_sizes()
ORDER BY bytes DESC
