"""Rebuilds the ticks of a period from a stream's journal, as after a fix of the decoder.

A rebuild goes from checkpoint to checkpoint: there what was remembered and how the ticks are
numbered is known exactly, so the ticks around the stretch and those in it fit together. It is
therefore wider than what was asked for, by some ten minutes at most at either end.
"""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np

from market_pipeline import sessions
from market_pipeline.errors import JournalError
from market_pipeline.storage.rebuild import Difference, Replacement, replacing
from market_pipeline.storage.ticks import Checkpoint, Position
from market_pipeline.streaming import checkpoints, journal
from market_pipeline.streaming.checkpoints import Mark
from market_pipeline.streaming.meaning import Interpreter, Source
from market_pipeline.streaming.memory import Memory
from market_pipeline.streaming.observations import Observer
from market_pipeline.streaming.records import Damage, Record, RecordKind
from market_pipeline.streaming.writer import BATCH_BYTES

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BEGINNING = Mark(0, 0, -1, 0)


@dataclass(frozen=True)
class Order:
    """Rebuild what a stream received from `since` to before `until`; or tell what that would do."""

    stream: str
    folder: Path
    since: datetime
    until: datetime | None = None
    is_dry_run: bool = False
    brokers: Sequence[str] = ()  # that the stream listens to, if not only the one of its name
    batch_bytes: int = BATCH_BYTES


class Outcome(NamedTuple):
    """The stretch of the journal that was rebuilt, and what that changed or would change."""

    start: int
    end: int
    frames: int
    difference: Difference


class _Stretch(NamedTuple):
    start: Mark
    state: bytes
    first_at: datetime  # when its first record was received
    end: int
    arrivals: int  # as counted when it was stored
    is_to_the_end: bool
    marks: list[int]  # the positions of checkpoints after its start


def rebuild(
    url: str,
    order: Order,
    sources: Sequence[Source],
    advanced: Callable[[int, int], None] = lambda done, total: None,
) -> Outcome:
    """Replace the stored ticks of a period by what its journal means now: all, or nothing.

    `sources` are those of the brokers that the stream listens to. Afterwards the tables are what
    they would be had these decoders run from the start of the stretch. Rows of `gaps` stay as they
    are. `advanced` is told the bytes done, and of how many.

    Raises:
        JournalError: the journal does not reach back so far, or is damaged; says what can be done.
        StreamTakenOver: a process runs the stream.
        DatabaseError: nothing was changed.
    """
    run_id = f"rebuild-{uuid.uuid4().hex[:12]}"
    with replacing(url, order.stream, run_id, order.brokers) as replacement:
        stored = replacement.open()
        stretch = _stretch(order, stored)
        decoders = [source.decoder.copy() for source in sources]
        memory = Memory(decoders, stretch.start.connection)
        memory.load(stretch.state, stretch.start.arrivals)
        for feed in memory.feeds:
            feed.last_received_at = feed.last_received_at or stretch.start.received_at or None
        interpreter = Interpreter([source.tokens for source in sources])
        made = _Pass(order, stretch, interpreter, replacement, memory)
        try:
            made.run(advanced)
            return _settle(order, stretch, stored, made, replacement)
        finally:
            checkpoints.discard_staged(order.folder)


class _Pass:
    """Interprets a stretch once, into a replacement."""

    def __init__(
        self,
        order: Order,
        stretch: _Stretch,
        interpreter: Interpreter,
        replacement: Replacement,
        memory: Memory,
    ) -> None:
        self._order, self._stretch = order, stretch
        self._interpreter, self._replacement = interpreter, replacement
        self.memory = memory
        self.frames = 0
        self.staged: list[int] = []

    def run(self, advanced: Callable[[int, int], None]) -> None:
        start, end = self._stretch.start.position, self._stretch.end
        damage = self._replacement.begin(start, end, self._stretch.first_at)
        stops = [*(mark for mark in self._stretch.marks if mark < end), end]
        if self.memory.held is not None:  # received before, and become ticks in the stretch
            self._replacement.expect(self.memory.held.received_at)
        if self.memory.recent is not None:  # and may be told again
            self._replacement.expect(self.memory.recent.received_at, stood_by_before=True)
        position = start
        for stop in stops:
            while position < stop:
                items = self._read(position, stop, damage)
                self._add(position, items)
                position = items[-1].end
                advanced(position - start, end - start)
            if stop in self._stretch.marks and not self._order.is_dry_run:
                received_at = self.memory.last_received_at or 0
                checkpoints.stage(self._order.folder, self.checkpoint(stop), received_at)
                self.staged.append(stop)

    def _read(self, position: int, stop: int, known: set[int]) -> list[Record | Damage]:
        wanted = min(self._order.batch_bytes, stop - position)
        read = journal.read(self._order.folder, position, wanted)
        items = [item for item in read if item.end <= stop]
        # What was whole when it was stored must be whole now, or its ticks would be lost.
        broken = [item for item in items if isinstance(item, Damage) and item.position not in known]
        if broken or not items:
            at = broken[0].position if broken else position
            raise JournalError(_cannot(self._order, self._later_marks(at), f"is damaged at {at}"))
        return items

    def _later_marks(self, position: int) -> list[Mark]:
        found = checkpoints.marks(self._order.folder)
        return [mark for mark in found if position < mark.position < self._stretch.end]

    def _add(self, position: int, items: list[Record | Damage]) -> None:
        batch = self._interpreter.batch(position, items, self.memory)
        stamps = [
            item.received_at // 1000
            for item in items
            if isinstance(item, Record) and item.kind is RecordKind.FRAME
        ]
        self.frames += len(stamps)
        self._replacement.add(batch, np.array(stamps, np.int64))

    def checkpoint(self, position: int) -> Checkpoint:
        memory = self.memory
        return Checkpoint(position, memory.observer.arrivals, memory.connection, memory.dump())


def _settle(
    order: Order, stretch: _Stretch, stored: Position, made: _Pass, replacement: Replacement
) -> Outcome:
    """Compare, and unless it is a dry run, change."""
    first, arrivals = stretch.start.arrivals, made.memory.observer.arrivals
    if arrivals != stretch.arrivals and not stretch.is_to_the_end:
        raise JournalError(
            f"{arrivals - first} ticks would be where {stretch.arrivals - first} were counted, and "
            "the numbers of those after them would no longer follow: leave --to out"
        )
    difference = replacement.compare(first, stretch.arrivals - first)
    if not order.is_dry_run:
        # Checkpoints of before must not outlive the commit: they count otherwise. Without them a
        # rebuild begins earlier.
        stale = [at for at in stretch.marks if at <= stretch.end or at > stored.position]
        checkpoints.withdraw(order.folder, stale)
        is_newest = stored.checkpoint_position <= stretch.end
        replacement.apply(
            arrivals if stretch.is_to_the_end else None,
            made.checkpoint(stretch.end) if is_newest else None,
        )
        checkpoints.adopt(order.folder, made.staged)
    return Outcome(stretch.start.position, stretch.end, made.frames, difference)


def _stretch(order: Order, stored: Position) -> _Stretch:
    """Find the checkpoints that enclose the period; where none follows, all that is stored."""
    found = _marks(order, stored.position)
    start, state = _start(order, found)
    later = [mark for mark in found if mark.position > start.position]
    until = None if order.until is None else _ns(order.until)
    ends = [mark for mark in later if until is not None and mark.received_at >= until]
    end, arrivals = (
        (ends[0].position, ends[0].arrivals) if ends else (stored.position, stored.arrivals)
    )
    is_nothing = stored.last_received_at is None or stored.last_received_at < order.since
    if is_nothing or start.position >= end:
        raise JournalError(f"nothing is stored that {order.stream} received from then on")
    marks = [mark.position for mark in checkpoints.marks(order.folder)]
    return _Stretch(
        start,
        state,
        _first_at(order, start),
        end,
        arrivals,
        end == stored.position,
        [position for position in marks if position > start.position],
    )


def _marks(order: Order, position: int) -> list[Mark]:
    """Return where a rebuild can begin, rising, up to a position."""
    segments = journal.segments(order.folder)
    if not segments:
        raise JournalError(f"there is no journal of {order.stream} in {order.folder}")
    first = segments[0][0]
    found = [mark for mark in checkpoints.marks(order.folder) if first <= mark.position <= position]
    return [_BEGINNING, *found] if first == 0 else found


def _start(order: Order, found: list[Mark]) -> tuple[Mark, bytes]:
    since = _ns(order.since)
    for mark in reversed([mark for mark in found if mark.received_at < since]):
        state = _state(order, mark)
        if state is not None:
            return mark, state
    raise JournalError(_cannot(order, found, "does not reach back so far"))


def _state(order: Order, mark: Mark) -> bytes | None:
    if mark is _BEGINNING:
        return Observer().dump()
    checkpoint = checkpoints.load(order.folder, mark)
    return None if checkpoint is None else checkpoint.state


def _first_at(order: Order, start: Mark) -> datetime:
    items = journal.read(order.folder, start.position, 1)
    record = next((item for item in items if isinstance(item, Record)), None)
    at = start.received_at if record is None else record.received_at
    return _EPOCH + timedelta(microseconds=at // 1000)


def _cannot(order: Order, marks: list[Mark], why: str) -> str:
    """Say why the period cannot be rebuilt and what can be."""
    first = next((mark for mark in marks if _state(order, mark) is not None), None)
    if first is None:
        return f"the journal of {order.stream} {why}, and nothing of it can be rebuilt"
    at = sessions.to_ist(_EPOCH + timedelta(seconds=first.received_at // 10**9 + 1))
    return f"the journal of {order.stream} {why}: it can be rebuilt from {at:%Y-%m-%dT%H:%M:%S} on"


def _ns(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(microseconds=1) * 1000
