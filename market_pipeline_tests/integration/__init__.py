"""Against a real PostgreSQL, a real Dagster instance and the simulated exchange."""
