-- What the archived_... queries return. They take no parameters, because only then their rows come as they are asked for.
SELECT
    set_config('archive.instrument_ids', :instrument_ids::bigint[]::text, true) AS instrument_ids,
    set_config('archive.starts_at', :starts_at::timestamptz::text, true) AS starts_at,
    set_config('archive.ends_at', :ends_at::timestamptz::text, true) AS ends_at
