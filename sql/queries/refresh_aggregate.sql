-- Brings a continuous aggregate up to date between two times; costs nothing where nothing has changed.
CALL refresh_continuous_aggregate(:name::regclass, :starts_at::timestamptz, :ends_at::timestamptz)
