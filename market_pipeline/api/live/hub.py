"""Takes what writers commit, once for the whole process, and hands each client what it wants."""

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market_pipeline.api.live.candle_reader import CandleReader
from market_pipeline.api.live.candles import CandleBook, LiveCandle
from market_pipeline.api.live.subscriber import Subscriber
from market_pipeline.api.live.ticks import live_ticks
from market_pipeline.errors import DatabaseError
from market_pipeline.market import Mode
from market_pipeline.storage.reading import Reader
from market_pipeline.storage.tick_batches import TickBatch
from market_pipeline.storage.tick_feed import Hole, TickFeed

log = logging.getLogger(__name__)

_POLL_SECONDS = 1.0
_RETRY_SECONDS = 1.0
_STATES_SECONDS = 5.0
_SILENT_SECONDS = 10.0
"""A server that has not answered for so long, though its connection lives, is unavailable."""

_SLICE = 2_000
"""Ticks that are handed out before others may run."""


@contextlib.asynccontextmanager
async def running(url: str, reader: Reader) -> AsyncIterator["Hub"]:
    """Run the hub of this process."""
    hub = Hub(TickFeed(url, uuid.uuid4().hex), reader)
    hub.task = asyncio.create_task(hub.run())
    hub.task.add_done_callback(_log_failure)
    try:
        yield hub
    finally:
        hub.task.cancel()
        await asyncio.gather(hub.task, return_exceptions=True)


def _log_failure(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()):
        log.critical("live ticks have ended; start the API again", exc_info=error)


class Hub:
    """One for each process; every client is a Subscriber of it."""

    task: "asyncio.Task[None]"

    def __init__(self, feed: TickFeed, reader: Reader) -> None:
        self._feed = feed
        self.book = CandleBook()
        self._candle_reader = CandleReader(reader, self.book, self._tell_candle, self._tell_candles)
        self._subscribers: set[Subscriber] = set()
        self._by_instrument: dict[int, set[Subscriber]] = {}
        self._by_candle: dict[int, set[Subscriber]] = {}
        self._wanted: NDArray[np.int64] | None = None
        self._names: dict[int, str] = {}
        self._states_at = 0.0
        self._states: list[dict[str, Any]] = []
        self._is_available = False
        self._answered_at = 0.0
        self.begun = asyncio.Event()
        """It is known where the streams are."""

        self.positions: dict[str, int] = {}
        """The number of the next tick of each stream; all before it were handed out."""

    async def run(self) -> None:
        """Go on for ever, whatever becomes of the database."""
        try:
            async with asyncio.TaskGroup() as group:  # neither goes on without the other
                group.create_task(self._read_candles())
                group.create_task(self._read_ticks())
        finally:
            await self._feed.close()

    async def _read_ticks(self) -> None:
        while True:
            try:
                await self._feed.open()
                await self._follow()
            except DatabaseError as error:
                log.warning("live ticks wait for the database: %s", error)
                self._set_available(False)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _read_candles(self) -> None:
        await self.begun.wait()  # or ticks between what is read and the first handed out were lost
        await self._candle_reader.run()

    async def _follow(self) -> None:
        if not self.begun.is_set():
            self.positions |= {s: each.next for s, each in self._feed.positions.items()}
            self.begun.set()
        self._set_available(True)
        while True:
            async for found in self._feed.new():
                if isinstance(found, Hole):
                    self._miss(found)
                else:
                    await self._hand_out(found)
            if asyncio.get_running_loop().time() >= self._states_at:
                self._states = await self._feed.streams()
                self._states_at = asyncio.get_running_loop().time() + _STATES_SECONDS
            self._answered_at = time.monotonic()
            await self._feed.wait(_POLL_SECONDS)

    async def _hand_out(self, batch: TickBatch) -> None:
        for start in range(0, len(batch), _SLICE):
            part = batch.since(batch.first + start).until(batch.first + start + _SLICE)
            self._hand_out_part(part)
            await asyncio.sleep(0)

    def _hand_out_part(self, batch: TickBatch) -> None:
        if self._wanted is None:
            wanted = sorted({*self._by_instrument, *self._by_candle})
            self._wanted = np.array(wanted, np.int64)
        if len(self._wanted):
            for tick in live_ticks(batch, self._wanted, self._names):
                for subscriber in self._by_instrument.get(tick.instrument_id, ()):
                    subscriber.offer(tick)
                self.book.add(tick)
        self.positions[batch.stream] = batch.end
        self._tell_candles()
        for subscriber in self._subscribers:
            subscriber.rouse()

    def _tell_candles(self) -> None:
        changes = self.book.taken()
        for (instrument_id, minute), candle in changes.candles.items():
            is_closed = self.book.is_closed(instrument_id, minute)
            self._tell_candle(instrument_id, candle, is_closed)
        self._candle_reader.read_again(changes.late)

    def _tell_candle(self, instrument_id: int, candle: LiveCandle, is_closed: bool) -> None:
        subscribers = self._by_candle.get(instrument_id)
        if not subscribers or not candle.trades or candle.time is None:
            return
        text = candle.text(instrument_id, self._names[instrument_id], is_closed)
        for subscriber in subscribers:
            subscriber.offer_candle(instrument_id, candle.time, text)

    def _miss(self, hole: Hole) -> None:
        log.warning("ticks of %s are not in tick_batches any more: %s", hole.stream, hole)
        self.positions[hole.stream] = hole.end
        self._candle_reader.start(self.book.begin_anew())
        for subscriber in self._subscribers:
            subscriber.tell("missed", **missing([hole]))

    def _set_available(self, is_available: bool) -> None:
        if is_available != self._is_available:
            self._is_available = is_available
            self._answered_at = time.monotonic()
            for subscriber in self._subscribers:
                subscriber.tell("status", database=self._database())

    def _database(self) -> str:
        is_silent = time.monotonic() - self._answered_at > _SILENT_SECONDS
        return "available" if self._is_available and not is_silent else "unavailable"

    @property
    def has_subscribers(self) -> bool:
        """Whether a client has asked for ticks or candles of any instrument."""
        return bool(self._by_instrument or self._by_candle)

    def beat(self, subscriber: Subscriber) -> None:
        """Tell a client that all is well, or what is not."""
        subscriber.tell(
            "heartbeat",
            time=datetime.now(UTC),
            database=self._database(),
            seq=subscriber.seq(),
            streams=self._states,
        )

    def join(self) -> Subscriber:
        """Return a new client."""
        subscriber = Subscriber(self.positions)
        self._subscribers.add(subscriber)
        return subscriber

    def leave(self, subscriber: Subscriber) -> None:
        """Forget a client."""
        self._subscribers.discard(subscriber)
        self.unsubscribe(subscriber, list(subscriber.modes))
        self.unsubscribe_candles(subscriber, list(subscriber.candles))

    def name(self, names: Mapping[int, str]) -> None:
        """Note how instruments are called in messages, before they are subscribed."""
        self._names |= names

    def subscribe(self, subscriber: Subscriber, instrument_ids: Iterable[int], mode: Mode) -> None:
        """Hand a client the ticks of some instruments from now on."""
        for instrument_id in instrument_ids:
            subscriber.modes[instrument_id] = mode
            self._by_instrument.setdefault(instrument_id, set()).add(subscriber)
        self._wanted = None

    def unsubscribe(self, subscriber: Subscriber, instrument_ids: Iterable[int]) -> None:
        """Hand it no more ticks of them."""
        for instrument_id in instrument_ids:
            subscriber.modes.pop(instrument_id, None)
            _discard(self._by_instrument, instrument_id, subscriber)
        self._wanted = None

    def subscribe_candles(self, subscriber: Subscriber, instrument_ids: Iterable[int]) -> None:
        """Tell a client the candles of some instruments, and each change from now on."""
        for instrument_id in instrument_ids:
            subscriber.candles.add(instrument_id)
            self._by_candle.setdefault(instrument_id, set()).add(subscriber)
            if instrument_id not in self.book:
                self.book.begin(instrument_id)
                self._candle_reader.start([instrument_id])
            elif candle := self.book.current(instrument_id):
                text = candle.text(instrument_id, self._names[instrument_id], is_closed=False)
                subscriber.offer_candle(instrument_id, candle.time or 0, text)
        self._wanted = None

    def unsubscribe_candles(self, subscriber: Subscriber, instrument_ids: Iterable[int]) -> None:
        """Tell it no more candles of them."""
        for instrument_id in instrument_ids:
            subscriber.candles.discard(instrument_id)
            if _discard(self._by_candle, instrument_id, subscriber):
                self.book.end(instrument_id)
        self._wanted = None


def _discard(index: dict[int, set[Subscriber]], key: int, subscriber: Subscriber) -> bool:
    """Take a client out of an index; return whether it was the last there."""
    if key not in index:
        return False
    index[key].discard(subscriber)
    if index[key]:
        return False
    del index[key]
    return True


def missing(holes: Iterable[Hole]) -> dict[str, Any]:
    """Say in a message what was missed, and who may have it."""
    streams = {
        hole.stream: {"first": hole.first, "end": hole.end, "until": hole.until} for hole in holes
    }
    return {"streams": streams, "rest": "/api/historical/ticks"}
