"""A program for the tests that archives a day and dies at a stage of it, as of kill -9."""

import os
import signal
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

from market_pipeline.archive.day import write_day
from market_pipeline.archive.store import FolderStore
from market_pipeline.storage.database import Database


def dying_at(stage: str) -> Callable[[str], None]:
    def reached(name: str) -> None:
        if name == stage:
            os.kill(os.getpid(), signal.SIGKILL)

    return reached


if __name__ == "__main__":
    url, folder, day, last = sys.argv[1:]
    write_day(Database(url), FolderStore(Path(folder)), date.fromisoformat(day), dying_at(last))
