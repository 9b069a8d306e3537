"""What can be tested with nothing running."""
