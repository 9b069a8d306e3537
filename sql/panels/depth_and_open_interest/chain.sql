SELECT
    min(forward) AS forward,
    sum(put_open_interest)::double precision / nullif(sum(call_open_interest), 0) AS open_interest_ratio,
    sum(put_volume)::double precision / nullif(sum(call_volume), 0) AS volume_ratio,
    sum(call_open_interest)::bigint AS call_open_interest,
    sum(put_open_interest)::bigint AS put_open_interest
FROM dashboard_chain(${underlying:sqlstring}, ${expiry:sqlstring}, $__timeTo())
