"""A process that drops or restores a day and stops at a named point, to be killed there."""

from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any
from unittest import mock

from market_pipeline.archive.dropping import drop_day
from market_pipeline.archive.restoring import restore_day
from market_pipeline.archive.store import FolderStore
from market_pipeline.storage import retention
from market_pipeline.storage.archives import Snapshot
from market_pipeline.storage.database import Database
from market_pipeline.storage.database import run as run_query
from market_pipeline_tests.archive_cases import DAY

DROPPING = (*("verified", "ticks forgotten", "dropped in the transaction", "dropped"),)
RESTORING = (
    *("verified", "begun", "some loaded", "loaded", "indexed", "compared"),
    *("attached in the transaction", "attached"),
)

_AFTER = {
    "forget_ticks_before": "ticks forgotten",
    "drop_archived_day": "dropped in the transaction",
    "attach_restored_day": "attached in the transaction",
}
"""Queries that end no transaction."""


def run(verb: str, url: str, folder: Path, point: str, pipe: Pipe) -> None:
    """Drop or restore the day; at the point tell so and wait, else tell `ended` at the end."""

    def reached(stage: str) -> None:
        if stage == point:
            pipe.send(stage)
            pipe.recv()  # nothing comes

    _stop_after_queries(reached)
    database, store = Database(url), FolderStore(folder)
    if verb == "drop":
        drop_day(database, store, DAY, reached)
    else:
        loaded = lambda rows, of: reached("some loaded")  # noqa: E731
        restore_day(database, store, DAY, 7, reached, loaded)
    pipe.send("ended")


def _stop_after_queries(reached: Any) -> None:
    rows = Snapshot.rows

    def run_and_stop(connection: Any, name: str, /, **values: Any) -> Any:
        found = run_query(connection, name, **values)
        reached(_AFTER.get(name, ""))
        return found

    def rows_and_stop(self: Snapshot, name: str, /, **values: Any) -> Any:
        found = rows(self, name, **values)
        reached(_AFTER.get(name, ""))
        return found

    mock.patch.object(retention, "run", run_and_stop).start()
    mock.patch.object(Snapshot, "rows", rows_and_stop).start()
