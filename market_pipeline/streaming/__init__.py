"""Received frames become committed ticks: journal, writer, supervisor. Never imports dagster."""
