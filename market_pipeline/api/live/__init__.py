"""Ticks and candles as they come, over WebSocket."""
