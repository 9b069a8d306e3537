"""Journals for tests: written, read back, damaged, and stored in a database."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from market_pipeline.brokers import kite_wire
from market_pipeline.brokers.decoding import Decoder, Stateless
from market_pipeline.storage.database import Database
from market_pipeline.storage.ticks import TickStore
from market_pipeline.streaming import journal, writer
from market_pipeline.streaming.journal import Journal
from market_pipeline.streaming.meaning import Source
from market_pipeline.streaming.records import HEADER_BYTES, Damage, Record, RecordKind
from market_pipeline.streaming.writer import Writer
from market_pipeline_tests.builders import OPEN, Known, Packet, fetch, frame

GIGABYTE = 10**9


def write(folder: Path, *payloads: bytes, segment_bytes: int = GIGABYTE) -> list[int]:
    """Append frames and return the position after each."""
    with Journal(folder, GIGABYTE, segment_bytes=segment_bytes) as opened:
        return [opened.append(RecordKind.FRAME, payload) for payload in payloads]


def placed(makers: Iterable[Callable[[int], bytes]]) -> list[bytes]:
    """Make the payloads of a new journal, each told the position at which it will begin."""
    made: list[bytes] = []
    position = 0
    for make in makers:
        made.append(make(position + HEADER_BYTES))
        position += HEADER_BYTES + len(made[-1])
    return made


def everything(folder: Path, position: int = 0) -> list[Record | Damage]:
    """Read to the end, in small portions."""
    items: list[Record | Damage] = []
    while found := list(journal.read(folder, position, 100)):
        items += found
        position = found[-1].end
    return items


def payloads(folder: Path, position: int = 0) -> list[bytes]:
    items = everything(folder, position)
    assert not [item for item in items if isinstance(item, Damage)]
    return [item.payload for item in items]


def segment(folder: Path, number: int = 0) -> Path:
    return journal.segments(folder)[number][1]


class Line:
    """A journal, and writers that store it."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database, self.folder = database, folder
        self.journal = Journal(folder, 10**9)
        self.decoder: Decoder = Stateless(kite_wire.decode)
        self.brokers = ["simulator"]
        self._open: list[tuple[Writer, TickStore]] = []

    def frames(self, *frames: bytes, at: int = 0) -> None:
        for payload in frames:
            self.say(RecordKind.FRAME, payload, at)

    def packets(self, *packets: Packet) -> None:
        """Receive each packet in a frame of its own when the exchange sends it."""
        for packet in packets:
            self.frames(frame(packet), at=packet.at)

    def say(self, kind: RecordKind, payload: bytes = b"", at: int = 0) -> None:
        self.journal.append(kind, payload, (OPEN + at) * 10**9)

    def writer(self, run_id: str = "run", batch_bytes: int = writer.BATCH_BYTES) -> Writer:
        store = TickStore(self.database.url, "test-0", run_id, self.brokers)
        opened = Writer(store, self.folder, [Source(self.decoder, Known())], batch_bytes)
        self._open.append((opened, store))
        opened.open()
        return opened

    def store(self, run_id: str = "run") -> Writer:
        opened = self.writer(run_id)
        drain(opened)
        return opened

    def close(self) -> None:
        self.journal.close()
        for opened, store in self._open:
            opened.close()
            store.close()


TICKS = "SELECT instrument_id, seq, volume, is_trade, high, low FROM ticks ORDER BY 1, 2"


@pytest.fixture
def line(database: Database, tmp_path: Path) -> Iterator[Line]:
    opened = Line(database, tmp_path / "journal")
    yield opened
    opened.close()


def ticks(line: Line) -> list[tuple[Any, ...]]:
    return fetch(line.database, TICKS)


def drain(opened: Writer) -> None:
    while opened.step():
        pass
