"""Replays what a stream has received: frame by frame, through a journal and a writer of its own.

The stream's journal is only read, and may be written meanwhile. Reading begins at a checkpoint
before the day, so that what is known of each instrument then is what the stream knew.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from market_pipeline import sessions
from market_pipeline.errors import JournalError, ReplayRefused
from market_pipeline.replay.order import Following, Order, Progress
from market_pipeline.replay.pace import Portion
from market_pipeline.replay.player import Player, Timing
from market_pipeline.replay.spool import emptied
from market_pipeline.storage.replay_ticks import ReplayStore, Start
from market_pipeline.storage.scratch import Scratch
from market_pipeline.streaming import checkpoints, journal
from market_pipeline.streaming.checkpoints import Mark
from market_pipeline.streaming.journal import Journal
from market_pipeline.streaming.meaning import Source
from market_pipeline.streaming.records import Damage, Record, RecordKind
from market_pipeline.streaming.writer import Writer

_READ_BYTES = 1024 * 1024
_MOST_BYTES = 4 * 1024 * 1024
_JOURNAL_BYTES = 10**12
_FOREVER = 2**62
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Journalled:
    """A stretch of a stream's journal, and where reading begins: None is the beginning of all."""

    stream: str
    folder: Path
    brokers: Sequence[str]
    start: Start | None


def find(order: Order, stream: str, folder: Path, brokers: Sequence[str]) -> Journalled:
    """Find what a stream has received in a period; `brokers` are those it listened to.

    Raises:
        JournalError: the journal is not there, or does not reach back so far.
        ReplayRefused: nothing was received then.
    """
    since, until = (_nanoseconds(each) for each in (order.starts_at, order.ends_at))
    found = Journalled(stream, folder, brokers, _start(order, stream, folder))
    received = (item.received_at for item in _items(found) if isinstance(item, Record))
    first = next((at for at in received if at >= since), None)
    if first is None or first >= until:
        raise ReplayRefused(
            f"the journal of {stream} holds nothing that was received on {order.day} between "
            f"{sessions.to_ist(order.starts_at):%H:%M} and {sessions.to_ist(order.ends_at):%H:%M}"
        )
    return found


def replay(  # noqa: PLR0913 - the seam between what is replayed and where
    order: Order,
    found: Journalled,
    scratch: Scratch,
    sources: Sequence[Source],
    folder: Path,
    following: Following,
    timing: Timing | None = None,
) -> Progress:
    """Let a writer store what was received, from a journal in `folder`, when it is due.

    Raises:
        DatabaseError: the replay has ended there.
    """
    store = ReplayStore(scratch, found.stream, found.brokers, order.chosen, order.is_kept)
    player = Player(order, scratch, store, following, timing)
    with closing(store), emptied(folder), Journal(folder, _JOURNAL_BYTES) as copied:
        if found.start is not None:
            store.begin(found.start)
        with closing(Writer(store, folder, sources)) as writer:
            writer.open()
            copied.skip_to(writer.progress.position)
            for group in _groups(order, found, player.portion(_MOST_BYTES)):
                if _is_timely(order, group) and player.hold(_first(group), _last(group)):
                    break
                _append(copied, group)
                while writer.step():
                    pass
                copied.forget(writer.checkpoint_position, float("inf"))
                player.passed(_last(group))
    return player.end()


def _append(copied: Journal, group: list[Record | Damage]) -> None:
    for item in group:
        if isinstance(item, Record):
            copied.skip_to(item.position)
            copied.append(item.kind, item.payload, item.received_at, item.feed)


def _groups(order: Order, found: Journalled, portion: Portion) -> Iterator[list[Record | Damage]]:
    """Yield what a writer finds when it looks, up to the last that may be of the period."""
    since, until = (_nanoseconds(each) for each in (order.starts_at, order.ends_at))
    group: list[Record | Damage] = []
    ends_at = size = 0
    for item in _items(found):
        at = item.received_at if isinstance(item, Record) else None
        if at is not None and at >= order.late_from:
            break
        if group and ((at is not None and at >= ends_at) or size >= portion.size):
            yield group
            group, size = [], 0
        if at is not None and not any(isinstance(each, Record) for each in group):
            ends_at = since if at < since else at + portion.nanoseconds if at < until else _FOREVER
        group.append(item)
        size += len(item.payload)
    if group:
        yield group


def _is_timely(order: Order, group: list[Record | Damage]) -> bool:
    """Tell whether a group is of the period itself, and not read for what is known before it."""
    since, until = (_nanoseconds(each) for each in (order.starts_at, order.ends_at))
    return since <= _last(group) < until


def _first(group: list[Record | Damage]) -> int:
    return next((item.received_at for item in group if isinstance(item, Record)), 0)


def _last(group: list[Record | Damage]) -> int:
    received = (item.received_at for item in reversed(group) if isinstance(item, Record))
    return next(received, 0)


def _items(found: Journalled) -> Iterator[Record | Damage]:
    position = found.start.checkpoint.position if found.start else 0
    while items := list(journal.read(found.folder, position, _READ_BYTES)):
        yield from items
        position = items[-1].end


def _start(order: Order, stream: str, folder: Path) -> Start | None:
    segments = journal.segments(folder)
    if not segments:
        raise JournalError(f"there is no journal of {stream} in {folder}")
    marks = [mark for mark in checkpoints.marks(folder) if mark.position >= segments[0][0]]
    since = _nanoseconds(order.starts_at)
    for mark in reversed([mark for mark in marks if mark.received_at < since]):
        if checkpoint := checkpoints.load(folder, mark):
            next_kind = _kind_at(folder, mark.position)
            # The last checkpoint of a process that ended in order is at its very end.
            return Start(checkpoint, _instant(mark), next_kind is RecordKind.STARTED)
    if segments[0][0] == 0:
        return None
    raise JournalError(_too_short(stream, marks))


def _kind_at(folder: Path, position: int) -> RecordKind | None:
    items = journal.read(folder, position, 1)
    return next((item.kind for item in items if isinstance(item, Record)), None)


def _instant(mark: Mark) -> datetime | None:
    return _EPOCH + timedelta(microseconds=mark.received_at // 1000) if mark.received_at else None


def _too_short(stream: str, marks: list[Mark]) -> str:
    if not marks:
        return f"the journal of {stream} has no checkpoint that a replay could begin at"
    first = sessions.to_ist(_EPOCH + timedelta(seconds=marks[0].received_at // 10**9 + 1))
    return (
        f"the journal of {stream} does not reach back so far: it can be replayed from "
        f"{first:%Y-%m-%d %H:%M:%S} on; take the archive, or a later --from"
    )


def _nanoseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(microseconds=1) * 1000
