"""Files that were begun and are in no certificate, or no longer."""

from datetime import date
from pathlib import Path

from market_pipeline.archive.store import Store, translated
from market_pipeline.storage import archives
from market_pipeline.storage.database import Database


def scratch_of(store: Store, path: str) -> Path:
    """Return where a file is written before the store has it."""
    return store.scratch / path.replace("/", "_")


def sweep(database: Database, store: Store, day: date) -> None:
    """Delete a day's leftovers. Only what was noted before it was begun is ever deleted."""
    paths = archives.leftovers(database, store.location, day)
    for path in paths:
        store.delete(path)
        with translated(path):
            scratch_of(store, path).unlink(missing_ok=True)
    if paths:
        archives.forget(database, store.location, paths)
