"""TimescaleDB in WebAssembly, which the integration tests can run on: see server.py."""
