"""The real processes, from the outside."""
