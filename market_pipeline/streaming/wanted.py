"""What a stream is to carry and when, as last read from the database."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from market_pipeline.brokers.base import FRAME_SECONDS
from market_pipeline.market import Mode
from market_pipeline.sessions import (
    Calendar,
    InstrumentClass,
    PeriodKind,
    instrument_class,
    trading_date,
)
from market_pipeline.storage.database import Database
from market_pipeline.storage.instruments import Catalogue, wanted_tokens

_SESSION_MARGIN = timedelta(minutes=15)
_IDENTITY = ("instrument_id", "exchange", "kind", "underlying", "has_derivatives")
_QUIET_SECONDS = 120.0  # the patience outside sessions, when a broker may send less


class Wanted:
    """The instruments of one stream. One thread reads them anew, others look.

    `offered` are its brokers by name, the preferred one first, with what they offer.
    """

    def __init__(
        self, offered: Mapping[str, Catalogue], stream: str, per_stream: int, calendar: Calendar
    ) -> None:
        self._offered, self._stream, self._per_stream = offered, stream, per_stream
        self._calendar = calendar
        self._modes: list[Mapping[int, Mode]] = [{} for _ in offered]
        self.instruments = 0
        self._exchanges: set[str] = set()
        self._by_hours: dict[tuple[str, InstrumentClass], list[int]] = {}

    def modes(self, feed: int) -> Mapping[int, Mode]:
        """Return the tokens that one of the brokers is to send."""
        return self._modes[feed]

    def read(self, database: Database) -> None:
        """Read anew what is subscribed.

        Raises:
            DatabaseUnavailable: what was known stays in force.
        """
        rows = wanted_tokens(database, list(self._offered), self._stream, self._per_stream)
        for feed, (broker, catalogue) in enumerate(self._offered.items()):
            offered = rows.filter(broker=broker).select("token", "mode")
            modes = {token: Mode(mode) for token, mode in offered.iter_rows()}
            if modes.keys() - self._modes[feed].keys():  # perhaps listed since the stream began
                catalogue.reload()
            self._modes[feed] = modes
        rows = rows.unique("instrument_id", maintain_order=True)
        self.instruments = rows.height
        by_hours: dict[tuple[str, InstrumentClass], list[int]] = defaultdict(list)
        for instrument_id, exchange, *kind in rows.select(*_IDENTITY).iter_rows():
            by_hours[exchange, instrument_class(exchange, *kind)].append(instrument_id)
        self._by_hours = by_hours
        self._exchanges = {exchange for exchange, _ in by_hours}

    def is_in_session(self) -> bool:
        """Tell whether one of the exchanges is open, or about to be, or was a moment ago."""
        now = datetime.now(UTC)
        return any(self._calendar.is_open(name, now, _SESSION_MARGIN) for name in self._exchanges)

    def trading(self) -> NDArray[np.int64]:
        """Return the instruments that trade continuously now."""
        now = datetime.now(UTC)
        trading = [ids for hours, ids in self._by_hours.items() if self._trades(*hours, now)]
        return np.array([each for ids in trading for each in ids], np.int64)

    @property
    def is_trading(self) -> bool:
        """Whether any of the instruments trades now."""
        return self.trading().size > 0

    def patience(self) -> float:
        """Return how many seconds a connection may be without a frame, heartbeats included."""
        now = datetime.now(UTC)
        is_open = any(self._calendar.is_open(name, now) for name in self._exchanges)
        return FRAME_SECONDS if is_open else _QUIET_SECONDS

    def _trades(self, exchange: str, hours: InstrumentClass, now: datetime) -> bool:
        return any(
            period.kind is PeriodKind.CONTINUOUS and period.opens_at <= now < period.closes_at
            for period in self._calendar.periods(exchange, hours, trading_date(now))
        )
