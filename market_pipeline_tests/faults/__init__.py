"""Faults caused for real against the real processes, and what became of every packet."""
