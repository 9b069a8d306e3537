"""unit/ needs nothing running, integration/ a real database, acceptance/ the real processes."""
