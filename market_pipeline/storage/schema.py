"""Brings a database up to this version: migrations, then the candle views."""

from pathlib import Path

from market_pipeline.storage import candles, migrations
from market_pipeline.storage.database import Database


def prepare(url: str, folder: Path | None = None) -> list[str]:
    """Apply what is missing and return its names; safe to run at any time and by many at once.

    Raises:
        DatabaseError: see migrations.migrate.
    """
    applied = [migration.name for migration in migrations.migrate(url, folder)]
    with Database(url).transaction() as connection:
        return applied + candles.install(connection)
