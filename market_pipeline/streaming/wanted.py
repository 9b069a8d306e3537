"""What a stream is to carry and when, as last read from the database."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from market_pipeline.brokers.base import FRAME_SECONDS
from market_pipeline.market import Mode
from market_pipeline.sessions import Calendar
from market_pipeline.storage.database import Database
from market_pipeline.storage.instruments import Catalogue, wanted_tokens

_SESSION_MARGIN = timedelta(minutes=15)
_QUIET_SECONDS = 120.0  # the patience outside sessions, when a broker may send less


class Wanted:
    """The instruments of one stream. One thread reads them anew, others look."""

    def __init__(self, broker: str, stream: str, per_stream: int, calendar: Calendar) -> None:
        self._broker, self._stream, self._per_stream = broker, stream, per_stream
        self._calendar = calendar
        self.modes: Mapping[int, Mode] = {}
        self._instruments: dict[str, NDArray[np.int64]] = {}

    def read(self, database: Database, catalogue: Catalogue) -> None:
        """Read anew what is subscribed.

        Raises:
            DatabaseUnavailable: what was known stays in force.
        """
        rows = wanted_tokens(database, self._broker, self._stream, self._per_stream)
        modes = {token: Mode(mode) for token, mode in rows.select("token", "mode").iter_rows()}
        if modes.keys() - self.modes.keys():  # perhaps listed since the stream began
            catalogue.reload()
        self.modes = modes
        self._instruments = {
            str(exchange): group["instrument_id"].to_numpy()
            for (exchange,), group in rows.group_by("exchange")
        }

    def is_in_session(self) -> bool:
        """Tell whether one of the exchanges is open, or about to be, or was a moment ago."""
        now = datetime.now(UTC)
        return any(self._calendar.is_open(name, now, _SESSION_MARGIN) for name in self._instruments)

    def trading(self) -> NDArray[np.int64]:
        """Return the instruments whose exchange is open."""
        now = datetime.now(UTC)
        open_now = [ids for name, ids in self._instruments.items() if self._is_open(name, now)]
        return np.concatenate([np.zeros(0, np.int64), *open_now])

    def patience(self) -> float:
        """Return how many seconds a connection may be without a frame, heartbeats included."""
        now = datetime.now(UTC)
        is_open = any(self._is_open(name, now) for name in self._instruments)
        return FRAME_SECONDS if is_open else _QUIET_SECONDS

    def _is_open(self, exchange: str, now: datetime) -> bool:
        return self._calendar.is_open(exchange, now)
