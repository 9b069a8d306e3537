"""Moves what the journal holds into the database, each record exactly once and in order.

What is remembered between records (see observations.py) is stored as a checkpoint now and then;
after a restart the records between the checkpoint and the committed position are read again to
bring the memory up to date, and only those after the position are stored. So ticks do not depend
on when the process stopped, nor on how the journal was divided into batches.
"""

import logging
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from market_pipeline.errors import PositionLost, RowsRefused
from market_pipeline.market import Columns
from market_pipeline.storage.ticks import Batch, Checkpoint, Position, Rejected, TickStore
from market_pipeline.streaming import checkpoints, journal
from market_pipeline.streaming.last_seen import LastSeen
from market_pipeline.streaming.meaning import Interpreter, Source
from market_pipeline.streaming.memory import Feed, Memory, dumped
from market_pipeline.streaming.records import Damage, Record

log = logging.getLogger(__name__)

BATCH_BYTES = 8 * 1024 * 1024  # some 40,000 full packets
_CHECKPOINT_SECONDS = 30.0


@dataclass
class Progress:
    """What a writer has done since it was opened."""

    position: int = 0
    ticks: int = 0
    faults: int = 0
    anomalies: int = 0
    lags_ms: list[float] = field(default_factory=list)
    exchange_lags_ms: list[tuple[float, float]] = field(default_factory=list)
    """Of each batch's trades: the median, and the 99th percentile."""
    last_seen: LastSeen = field(default_factory=LastSeen)
    blind_since: list[int | None] = field(default_factory=list)
    """Of each feed; see streaming/memory.py."""


class _Prepared(NamedTuple):
    """A stretch of the journal, what it means, and what is remembered after it."""

    items: list[Record | Damage]
    memory: Memory
    batch: Batch

    @property
    def size(self) -> int:
        return self.batch.end - self.batch.start


class Writer:
    """Reads one stream's journal and commits what it means."""

    def __init__(
        self,
        store: TickStore,
        folder: Path,
        sources: Sequence[Source],
        batch_bytes: int = BATCH_BYTES,
    ) -> None:
        self._store, self._folder = store, folder
        self._interpreter = Interpreter([source.tokens for source in sources])
        self._sources = sources
        self._batch_bytes = batch_bytes
        self._memory = self._blank()
        self._checkpoint_due = time.monotonic() + _CHECKPOINT_SECONDS
        self._pending: _Prepared | None = None
        # While the database works on one batch of a backlog the next is prepared.
        self._ahead: Future[_Prepared] | None = None
        self._helper = ThreadPoolExecutor(1, "decode-ahead")
        self.progress = Progress()
        self.checkpoint_position = 0

    def _blank(self, connection: int = -1) -> Memory:
        return Memory([source.decoder.copy() for source in self._sources], connection)

    def open(self) -> None:
        """Take over the stream where the last writer left it.

        Raises:
            DatabaseUnavailable: call again later.
        """
        found = self._store.open()
        memory = self._blank(found.checkpoint_connection)
        memory.load(found.checkpoint, found.checkpoint_arrivals)
        self._memory = memory
        position, is_whole = found.checkpoint_position, True
        while position < found.position:
            wanted = min(self._batch_bytes, found.position - position)
            items = [
                item
                for item in journal.read(self._folder, position, wanted)
                if item.end <= found.position
            ]
            if not items:
                break
            self._interpreter.batch(position, items, self._memory)
            is_whole &= not _has_damage(items)
            position = items[-1].end
        is_whole &= position >= found.position
        if not is_whole:
            # Some of what is stored can no longer be read, and volumes would count it again.
            memory.load(None, found.arrivals)
            self._checkpoint_due = 0.0
        memory.observer.arrivals = found.arrivals
        memory.is_stopped = found.is_stopped
        self._complete(memory, found, is_whole)
        self.progress.position = found.position
        self.checkpoint_position = found.checkpoint_position

    def _complete(self, memory: Memory, found: Position, is_whole: bool) -> None:
        """Fill in what the checkpoint and the journal do not tell of the feeds."""
        last = found.last_received_at
        last_received_at = None if last is None else int(last.timestamp() * 1e6) * 1000
        for feed, source in zip(memory.feeds, self._sources, strict=True):
            if not is_whole or feed.last_received_at is None:
                feed.last_received_at = last_received_at
            if not is_whole or len(memory.feeds) == 1:
                feed.is_up = False  # to end a gap that is open, should there be one
            if _is_blind(feed, source):
                feed.blind_since = feed.blind_since or found.position

    def step(self) -> bool:
        """Store what the journal has, up to a batch; return whether there was anything.

        Raises:
            DatabaseUnavailable: nothing was stored; call again.
            StreamTakenOver: another process writes this stream now.
            DatabaseError: the database is not as it must be; nothing was stored.
        """
        self._pending = self._pending or self._prepared_ahead() or self._prepare_next()
        prepared = self._pending
        if not prepared.items:
            self._pending = None
            return False
        if self._ahead is None and prepared.size > self._batch_bytes // 2:  # there is a backlog
            self._ahead = self._helper.submit(self._prepare, prepared.batch.end, prepared.memory)
        try:
            self._store_prepared(prepared)
        except PositionLost as error:
            log.error("%s: what is missing is stored again from the journal", error)
            self._discard_ahead()
            self.open()
        self._pending = None
        return True

    def checkpoint(self) -> None:
        """Store what is remembered now, so that nothing before this position is needed again.

        Raises:
            DatabaseUnavailable: call again.
        """
        if self.checkpoint_position < self.progress.position:
            self._checkpoint_due = 0.0
            self._commit(self._prepared([], self.progress.position, self._memory))

    def _store_prepared(self, prepared: _Prepared) -> None:
        try:
            self._commit(prepared)
        except RowsRefused as error:
            self._discard_ahead()
            self._pending = None  # parts of it may be stored before the next outage
            self._commit_around(prepared.items, error)

    def _prepare(self, start: int, memory: Memory) -> _Prepared:
        items = list(journal.read(self._folder, start, self._batch_bytes))
        return self._prepared(items, start, memory)

    def _prepared(self, items: list[Record | Damage], start: int, memory: Memory) -> _Prepared:
        memory = memory.copy()
        return _Prepared(items, memory, self._interpreter.batch(start, items, memory))

    def _prepare_next(self) -> _Prepared:
        return self._prepare(self.progress.position, self._memory)

    def _prepared_ahead(self) -> _Prepared | None:
        """Return what was prepared while the last batch was committed, if it is of any use."""
        if self._ahead is None:
            return None
        ahead, self._ahead = self._ahead.result(), None
        return ahead if ahead.items else None

    def _discard_ahead(self) -> None:
        if self._ahead is not None:
            wait([self._ahead])
            self._ahead = None

    def close(self) -> None:
        """Let go of the helper thread."""
        self._discard_ahead()
        self._helper.shutdown()

    def _commit(self, prepared: _Prepared) -> None:
        batch, memory = prepared.batch, prepared.memory
        # Damage that a restart meets is new then: it never begins before one that is known.
        is_due = time.monotonic() >= self._checkpoint_due or _has_damage(prepared.items)
        if batch.checkpoint is None and is_due:
            batch.checkpoint = _checkpoint(batch, memory)
        self._store.commit(batch)
        self._adopt(memory, batch)

    def _commit_around(self, items: list[Record | Damage], error: RowsRefused) -> None:
        """Find the record the database refuses by halving; store the rest, set that one aside."""
        start = self.progress.position
        if len(items) > 1:
            for half in (items[: len(items) // 2], items[len(items) // 2 :]):
                try:
                    self._commit(self._prepared(half, self.progress.position, self._memory))
                except RowsRefused as refused:
                    self._commit_around(half, refused)
            return
        item = items[0]
        if self._memory.held is not None and self._commit_without_held(item, error):
            return
        log.error("record at %d refused by the database: %s", start, error)
        memory = self._memory.copy()
        batch = self._interpreter.batch(start, [], memory)
        batch.end = item.end
        # What a restart reads again begins after this record, or it would count then.
        batch.checkpoint = _checkpoint(batch, memory)
        received_at = getattr(item, "received_at", 0)
        batch.rejected.append(Rejected(item.position, received_at, str(error), item.payload))
        self._store.commit(batch)
        self._adopt(memory, batch)

    def _commit_without_held(self, item: Record | Damage, error: RowsRefused) -> bool:
        """Set aside what was held of the other feed, if it is that which the database refuses."""
        memory = self._memory.copy()
        held, memory.held = dumped(memory.held), None
        prepared = self._prepared([item], self.progress.position, memory)
        batch, reason = prepared.batch, f"packets of the feed that stands by: {error}"
        batch.checkpoint = _checkpoint(batch, prepared.memory)
        batch.rejected.append(Rejected(item.position, memory.last_received_at or 0, reason, held))
        try:
            self._commit(prepared)
        except RowsRefused:
            return False
        log.error("what was held until %d was refused by the database: %s", item.position, error)
        return True

    def _adopt(self, memory: Memory, batch: Batch) -> None:
        self._memory = memory
        progress = self.progress
        progress.position = batch.end
        progress.ticks += len(batch.ticks["time"])
        progress.faults += len(batch.rejected)
        progress.anomalies = memory.anomalies
        progress.blind_since = [feed.blind_since for feed in memory.feeds]
        progress.last_seen.observe(batch.ticks, memory.connection, memory.last_received_at or 0)
        if len(batch.ticks["time"]):
            oldest = int(batch.ticks["received_at"].min())
            progress.lags_ms.append(time.time() * 1000 - oldest / 1000)
            progress.exchange_lags_ms += _exchange_lags(batch.ticks)
        if batch.checkpoint is not None:
            self.checkpoint_position = batch.checkpoint.position
            self._checkpoint_due = time.monotonic() + _CHECKPOINT_SECONDS
            checkpoints.keep(self._folder, batch.checkpoint, memory.last_received_at or 0)


def _exchange_lags(ticks: Columns) -> list[tuple[float, float]]:
    """Return how long after the exchange's stamp trades came; other packets repeat old stamps."""
    late = (ticks["received_at"] - ticks["time"])[ticks["is_trade"].astype(bool)]
    if not len(late):
        return []
    middle, worst = np.percentile(late, (50, 99)) / 1000
    return [(float(middle), float(worst))]


def _is_blind(feed: Feed, source: Source) -> bool:
    """Tell whether what was known of a connection has been lost to damage."""
    if not feed.decoder.remembers or feed.connection < 0:
        return False
    return feed.blind_since is not None or feed.decoder.state() == source.decoder.state()


def _checkpoint(batch: Batch, memory: Memory) -> Checkpoint:
    return Checkpoint(batch.end, batch.arrivals, memory.connection, memory.dump())


def _has_damage(items: Sequence[Record | Damage]) -> bool:
    return any(isinstance(item, Damage) for item in items)
