"""Candles from the broker: what to ask for, asking, comparing with ours, and repairing them."""
