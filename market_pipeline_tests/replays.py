"""For tests of replays: a stream that has received a day, and the day streamed once more."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from market_pipeline.archive.store import Store
from market_pipeline.brokers import kite_wire
from market_pipeline.brokers.decoding import Stateless
from market_pipeline.replay import archived, comparing, journalled
from market_pipeline.replay.comparing import Comparison
from market_pipeline.replay.order import Following, Order, Progress
from market_pipeline.replay.player import Timing
from market_pipeline.storage import scratch
from market_pipeline.storage.database import Database
from market_pipeline.storage.instruments import Catalogue
from market_pipeline.storage.scratch import Scratch
from market_pipeline.storage.ticks import TickStore
from market_pipeline.streaming import checkpoints, writer
from market_pipeline.streaming.meaning import Source
from market_pipeline.streaming.records import RecordKind
from market_pipeline.streaming.writer import Writer
from market_pipeline_tests.builders import INFY, TCS, TODAY, Packet, fetch, frame
from market_pipeline_tests.journals import Line, drain
from market_pipeline_tests.stream_cases import STREAM, prepare

TICKS = """
SELECT
    time, instrument_id, seq, last_price, last_quantity, average_price, day_volume, volume,
    open_interest, buy_quantity, sell_quantity, bid_price, bid_quantity, ask_price, ask_quantity,
    high, low, exchange_time, received_at, is_trade, feed
FROM ticks WHERE time >= '2026-11-20 00:00+05:30' AND time < '2026-11-21 00:00+05:30'
ORDER BY instrument_id, seq, received_at
"""
CANDLES = "SELECT * FROM candles_1m ORDER BY instrument_id, time"
COUNTS = """
SELECT
    (SELECT count(*) FROM streams), (SELECT count(*) FROM journal_positions),
    (SELECT count(*) FROM gaps), (SELECT count(*) FROM tick_batches),
    (SELECT count(*) FROM instruments), (SELECT count(*) FROM feeds)
"""


class Clock:
    """Goes on by what is waited for, and ends a replay when it has come so far."""

    def __init__(self, until: float = float("inf")) -> None:
        self.at, self._until = 1000.0, until

    def wait(self, seconds: float) -> bool:
        self.at += seconds
        return self.at > self._until

    @property
    def timing(self) -> Timing:
        return Timing(lambda: self.at, self.wait)


class Recorded(Line):
    """A stream of the simulator's protocol whose instruments the database knows."""

    def __init__(self, database: Database, home: Path) -> None:
        prepare(database)
        super().__init__(database, home / "journal" / STREAM)
        self.home = home

    def receive(self, seconds: int = 200, first: int = 0, volume: int = 10) -> None:
        """Receive a packet of two instruments each second, with trades in most."""
        for at in range(first, first + seconds):
            for token in (INFY, TCS):
                traded = volume + at // 2 + token % 3
                packet = Packet(token=token, price=100 + at % 7, volume=traded, at=at)
                self.frames(frame(packet), at=at)

    def live(self) -> None:
        """Store what was received, as the stream does."""
        ticks = TickStore(self.database.url, STREAM, "run")
        opened = Writer(ticks, self.folder, sources(self.database), 4000)
        self._open.append((opened, ticks))
        opened.open()
        drain(opened)
        opened.checkpoint()


@contextmanager
def recorded(database: Database, home: Path) -> Iterator[Recorded]:
    """A stream that has received and stored a day: with checkpoints, and with bytes it rejects."""
    with pytest.MonkeyPatch.context() as patch, closing(Recorded(database, home)) as line:
        patch.setattr(writer, "_CHECKPOINT_SECONDS", 0.0)
        patch.setattr(checkpoints, "_SECONDS_BETWEEN", 0.0)
        line.say(RecordKind.CONNECTED)
        line.receive(100)
        line.frames(b"\x00\x01 what is this", at=100)
        line.receive(100, first=100)
        line.live()
        yield line
        scratch.drop(database, TODAY)


def sources(database: Database) -> list[Source]:
    return [Source(Stateless(kite_wire.decode), Catalogue(database, "simulator"))]


def from_journal(
    line: Recorded,
    order: Order | None = None,
    following: Following | None = None,
    timing: Timing | None = None,
) -> tuple[Scratch, Progress]:
    """Replay what a line has received into a schema of its own, which stays."""
    order = order or Order(TODAY)
    found = journalled.find(order, STREAM, line.folder, ["simulator"])
    with scratch.making(line.database, order.day, order.contents(has_gaps=False)) as made:
        progress = journalled.replay(
            order,
            found,
            made,
            sources(made.database),
            line.home / "replay",
            following or Following(),
            timing,
        )
    return made, progress


def from_archive(
    line: Recorded,
    store: Store,
    order: Order | None = None,
    following: Following | None = None,
    timing: Timing | None = None,
) -> tuple[Scratch, Progress]:
    """Replay a line's day out of an archive into a schema of its own, which stays."""
    order = order or Order(TODAY)
    found = archived.find(order, line.database, store)
    with scratch.making(line.database, order.day, order.contents(has_gaps=True)) as made:
        folder = line.home / "replay"
        progress = archived.replay(order, found, made, folder, following or Following(), timing)
    return made, progress


def candles(line: Recorded, made: Scratch, order: Order | None = None) -> Comparison:
    order = order or Order(TODAY)
    live = comparing.as_known_then(line.database, order)
    return Comparison("candles", live, comparing.as_known_then(made.database, order))


def everything(database: Database) -> list[Any]:
    """Return what a replay must leave as it is."""
    return [fetch(database, each) for each in (COUNTS, TICKS, CANDLES)]
