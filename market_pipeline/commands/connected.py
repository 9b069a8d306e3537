"""What several commands need first: the settings, the logging and the database."""

import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import TextIO

from market_pipeline import config
from market_pipeline.config import Settings
from market_pipeline.storage import embedded
from market_pipeline.storage.database import Database


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to what sys.stderr is at the moment: the live table replaces it while it is shown."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def configured() -> Settings:
    """Read the settings and set up logging as they say.

    Raises:
        ConfigurationError: names each variable that is wrong.
    """
    settings = config.settings()
    handler = _Stderr()
    handler.setFormatter(
        logging.Formatter("%(asctime)s level=%(levelname)s logger=%(name)s %(message)s")
    )
    logging.basicConfig(level=settings.log_level, handlers=[handler])
    # Each of its lines is a request, of which there are many.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    return settings


@contextlib.contextmanager
def market_database(settings: Settings) -> Iterator[Database]:
    """Yield the market database; an embedded one is started for the time if it does not run.

    Raises:
        DatabaseError: it cannot be reached or started.
    """
    if settings.database_url is not None:
        yield Database(settings.database_url.get_secret_value())
        return
    with embedded.running(settings.market_pipeline_home) as url:
        yield Database(url)
