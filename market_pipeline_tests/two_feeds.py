"""A journal into which two brokers have sent the same instruments, for tests."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from market_pipeline.brokers import kite_wire
from market_pipeline.brokers.decoding import Stateless
from market_pipeline.storage.database import Database
from market_pipeline.storage.ticks import TickStore
from market_pipeline.streaming import writer
from market_pipeline.streaming.meaning import Source
from market_pipeline.streaming.rebuild import Order, Outcome, rebuild
from market_pipeline.streaming.records import RecordKind
from market_pipeline.streaming.writer import Writer
from market_pipeline_tests.builders import OPEN, Known, Packet, fetch, frame
from market_pipeline_tests.journals import Line

PREFERRED, STANDBY = 0, 1
BROKERS = ["kite", "fyers"]

_STREAM = "kite-0"

_TICKS = (
    "SELECT broker, extract(epoch FROM received_at)::double precision, day_volume"
    " FROM ticks JOIN feeds USING (feed) ORDER BY 2, seq"
)
_STANDBY = (
    "SELECT broker, extract(epoch FROM received_at)::double precision, day_volume"
    " FROM standby_ticks JOIN feeds USING (feed) ORDER BY 2, seq"
)
_GAPS = (
    "SELECT broker, extract(epoch FROM started_at)::double precision,"
    " extract(epoch FROM ended_at)::double precision, covered_by, instruments"
    " FROM gaps ORDER BY started_at, gap_id"
)


class TwoFeeds(Line):
    """Times are seconds after the opening, with fractions."""

    def __init__(self, database: Database, folder: Path) -> None:
        super().__init__(database, folder)
        self.brokers = BROKERS

    def record(self, feed: int, kind: RecordKind, payload: bytes = b"", at: float = 0) -> None:
        self.journal.append(kind, payload, int((OPEN + at) * 1e9), feed)

    def begin(self, at: float = 0) -> None:
        """Both brokers are connected and have said something."""
        self.record(PREFERRED, RecordKind.STARTED, b"run", at)
        for feed in (PREFERRED, STANDBY):
            self.connect(feed, at)
            self.heartbeat(feed, at)

    def connect(self, feed: int, at: float) -> None:
        self.record(feed, RecordKind.CONNECTED, b"", at)

    def disconnect(self, feed: int, at: float, cause: bytes = b"cut") -> None:
        self.record(feed, RecordKind.DISCONNECTED, cause, at)

    def heartbeat(self, feed: int, at: float) -> None:
        self.record(feed, RecordKind.FRAME, b"\0", at)

    def tick(self, feed: int, at: float, volume: int, price: float = 100.0, **more: Any) -> None:
        packet = Packet(price=price, volume=volume, at=int(at), **more)
        self.record(feed, RecordKind.FRAME, frame(packet), at)

    def writer(self, run_id: str = "run", batch_bytes: int = writer.BATCH_BYTES) -> Writer:
        store = TickStore(self.database.url, _STREAM, run_id, self.brokers)
        opened = Writer(store, self.folder, self.sources(), batch_bytes)
        self._open.append((opened, store))
        opened.open()
        return opened

    def sources(self) -> list[Source]:
        return [Source(Stateless(kite_wire.decode), Known()) for _ in self.brokers]

    def rebuild(self, since: float) -> Outcome:
        """Make the ticks anew of what was received from a time on."""
        at = datetime.fromtimestamp(OPEN + since, UTC)
        order = Order(_STREAM, self.folder, at, brokers=self.brokers)
        return rebuild(self.database.url, order, self.sources())

    def ticks(self, is_standby: bool = False) -> list[tuple[str, float, int | None]]:
        """Return the broker, when it was received, and the day's volume, in order of arrival."""
        rows = fetch(self.database, _STANDBY if is_standby else _TICKS)
        return [(broker, round(at - OPEN, 3), volume) for broker, at, volume in rows]

    def standby(self) -> list[tuple[str, float, int | None]]:
        return self.ticks(is_standby=True)

    def gaps(self) -> list[tuple[Any, ...]]:
        """Return whose gap it is, from when to when, and who covered it."""
        rows = fetch(self.database, _GAPS)
        return [
            (broker, round(begun - OPEN, 3), over and round(over - OPEN, 3), by, instruments)
            for broker, begun, over, by, instruments in rows
        ]

    def volume(self) -> int:
        """Return what the candles will say was traded."""
        ((found,),) = fetch(self.database, "SELECT sum(volume)::bigint FROM ticks")
        return int(found or 0)


@pytest.fixture
def feeds(database: Database, tmp_path: Path) -> Iterator[TwoFeeds]:
    opened = TwoFeeds(database, tmp_path / "journal")
    opened.begin()
    yield opened
    opened.close()


def trade(feeds: TwoFeeds, seconds: range, *senders: int, lag: float = 0.1) -> None:
    """Let the volume of the day grow by ten each second; each sender tells, one after another."""
    for second in seconds:
        for place, feed in enumerate(senders):
            feeds.tick(feed, second + lag * (place + 1), 10 * second, quantity=10)
