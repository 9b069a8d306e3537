"""What records say in their order: whether feeds are up, what was missed, and whose packets count.

Where two brokers send the same, the preferred one's packets become ticks. The other's are held
until the preferred one's next packets show that it was alive when they came. If it was not, because
its connection ended, nothing came for STALL_SECONDS or nothing but heartbeats for SILENT_SECONDS,
all that the other has sent since its last packets become ticks instead. So does what the other has
told a moment before and the preferred one never did, OVERLAP_SECONDS at most: nothing is missing
between the two, whenever that was noticed.
"""

from collections.abc import Sequence
from typing import NamedTuple

from market_pipeline.market import DAMAGED_JOURNAL
from market_pipeline.storage.ticks import GapEvent, Rejected
from market_pipeline.streaming.memory import Feed, Memory, Outage, require_feed
from market_pipeline.streaming.records import Damage, Record, RecordKind

STALL_SECONDS = 3.0
"""How long the preferred feed may be without a frame until the other takes over. Kite sends a
heartbeat each second. To take over early costs nothing: volume is counted once whoever tells it."""

SILENT_SECONDS = 10.0
"""How long it may send heartbeats alone while the other has something to tell."""

OVERLAP_SECONDS = 2.0
"""By how much one feed may be behind the other."""

SESSION_CLOSED = "session closed"
NOT_WANTED = "not wanted"
NOTHING_MISSED = {SESSION_CLOSED, NOT_WANTED}
"""The reasons of a STOPPED record after which there is nothing to be missed, at first."""

NOT_RUNNING = "the stream did not run"
"""The cause in DISCONNECTED records before a STARTED one: there was trading meanwhile after all."""

COUNTS, HELD = -1, -2
"""What becomes of a frame's packets: they become ticks; or it is not known yet. Any other number is
the preferred feed's connection: what is not seen on that becomes ticks."""


class _Gap(NamedTuple):
    """A gap of a feed begins, or ends if it has no outage."""

    feed: int
    at: int
    outage: Outage | None
    standby: int | None  # the connection since which the other feed is looked at, if that was up


class Reading:
    """Goes through records, carrying the feeds of a memory along."""

    def __init__(self, memory: Memory, retells: bool = False) -> None:
        """Begin behind a take-over if what stood by a moment before is to be told again."""
        self._memory, self._feeds = memory, memory.feeds
        self.retells = retells
        self.takes_over = False
        """Whether the preferred feed has died; what follows is for another reading."""
        self.frames: list[Record] = []
        self.connections: list[int] = []
        self.fates: list[int] = []
        self.fate_of_held = HELD
        self.begins: list[list[int]] = [[] for _ in memory.feeds]
        """The places among each feed's frames at which connections begin."""
        self.rejected: list[Rejected] = []
        self._counts = [0 for _ in memory.feeds]
        self._gaps: list[_Gap] = []
        self._pending: list[int] = []

    def take(self, item: Record | Damage) -> None:
        """Take the next record.

        Raises:
            JournalError: it is of a feed that is not listened to.
        """
        if isinstance(item, Damage):
            self._damage(item)
            return
        require_feed(self._memory, item.feed)
        feed = self._feeds[item.feed]
        match item.kind:
            case RecordKind.STARTED:
                missed = not self._memory.is_stopped
                self._memory.is_stopped = False
                self._all_down(item, "the process ended without notice" if missed else None)
            case RecordKind.STOPPED:
                self._memory.is_stopped = True
                reason = _text(item)
                self._all_down(item, None if reason in NOTHING_MISSED else reason)
            case RecordKind.DISCONNECTED:
                self._disconnected(item, feed)
            case RecordKind.CONNECTED:
                feed.connection, feed.blind_since, feed.is_up = item.position, None, False
                self.begins[item.feed].append(self._counts[item.feed])
            case RecordKind.FRAME:
                self._frame(item, feed)
        self._received(item, feed)

    def _received(self, item: Record, feed: Feed) -> None:
        is_of_all = item.kind in (RecordKind.STARTED, RecordKind.STOPPED)
        is_of_none = item.kind is RecordKind.DISCONNECTED and _text(item) == NOT_RUNNING
        for each in self._feeds if is_of_all else [] if is_of_none else [feed]:
            each.last_received_at = item.received_at

    def _disconnected(self, item: Record, feed: Feed) -> None:
        cause, since = _text(item), feed.last_received_at
        if cause == NOT_RUNNING and not self._memory.is_stopped:
            return  # STARTED knows better what became of the last process
        if cause == NOT_RUNNING and since is None:
            return  # nor did it ever
        self._down([item.feed], {item.feed: since or item.received_at}, cause)

    def _damage(self, item: Damage) -> None:
        """Take bytes that are lost: of any feed, and its connection may have been made anew."""
        at = self._memory.last_received_at or 0
        self.rejected.append(Rejected(item.position, at, DAMAGED_JOURNAL, item.payload))
        every = range(len(self._feeds))
        self._down(every, dict.fromkeys(every, at), DAMAGED_JOURNAL)
        for place, feed in enumerate(self._feeds):
            feed.connection = item.position
            if feed.decoder.remembers:  # rather nothing than what may have changed since
                self.begins[place].append(self._counts[place])
                feed.blind_since = item.end

    def _all_down(self, item: Record, cause: str | None) -> None:
        every = range(len(self._feeds))
        since = {place: self._feeds[place].last_received_at for place in every}
        if item.kind is RecordKind.STOPPED:
            since = {place: at or item.received_at for place, at in since.items()}
        told = {place: at for place, at in since.items() if at is not None}
        self._down(every, told, cause)

    def _down(self, places: Sequence[int], since: dict[int, int], cause: str | None) -> None:
        """Note that feeds are down since a time; with a cause they have a gap from then on.

        Without, nothing is missed of them; but what they have covered of the other they cover no
        more.
        """
        if 0 in places:
            self._settle(COUNTS)
        were_up = [place for place in places if self._feeds[place].is_up]
        for place in places:
            self._feeds[place].is_up = False
        for place, feed in enumerate(self._feeds):
            covered_until = [since[other] for other in were_up if other != place and other in since]
            if feed.outage is None and place in since and cause is not None:
                feed.outage = Outage(feed.connection, cause)
                self._begin(place, since[place])
            elif feed.outage is not None and covered_until:
                self._begin_again(place, covered_until[0])

    def _up(self, place: int, at: int) -> None:
        feed = self._feeds[place]
        feed.is_up, feed.outage = True, None
        if feed.up_on != feed.connection:
            feed.up_before, feed.up_on = feed.up_on, feed.connection
        self._gaps.append(_Gap(place, at, None, None))
        for other, feed in enumerate(self._feeds):
            if feed.outage is not None:
                self._begin_again(other, at)

    def _begin_again(self, place: int, at: int) -> None:
        """End a gap and go on with another, since the other feed went or came."""
        self._gaps.append(_Gap(place, at, None, None))
        self._begin(place, at)

    def _begin(self, place: int, at: int) -> None:
        up = [each for other, each in enumerate(self._feeds) if other != place and each.is_up]
        standby = up[0].up_before if up else None
        self._gaps.append(_Gap(place, at, self._feeds[place].outage, standby))

    def _frame(self, item: Record, feed: Feed) -> None:
        preferred = self._feeds[0]
        lives = preferred.is_up and not _is_late(preferred, item.received_at)
        if item.feed == 0:
            tells = feed.decoder.tells(item.payload)
            if tells or not lives:
                self._settle(preferred.connection if lives else COUNTS)
            preferred.last_frame_at = item.received_at
            preferred.told_at = item.received_at if tells else preferred.told_at
            self._memory.stands_by = preferred.is_up and not _is_late(preferred, item.received_at)
        elif lives:
            self._pending.append(len(self.frames))
        else:
            self._settle(COUNTS)
        if not feed.is_up and feed.blind_since is None:
            self._up(item.feed, item.received_at)
        self.fates.append(HELD if item.feed and lives else COUNTS)
        self.frames.append(item)
        self.connections.append(feed.connection)
        self._counts[item.feed] += 1

    def _settle(self, fate: int) -> None:
        if fate == COUNTS and self._memory.stands_by:
            self._memory.stands_by, self.takes_over = False, len(self._feeds) > 1
        for place in self._pending:
            self.fates[place] = fate
        self._pending.clear()
        if self.fate_of_held == HELD:
            self.fate_of_held = fate

    @property
    def ends(self) -> bool:
        """Whether what is made of this depends on what was seen until here: a gap begins or ends,
        or one feed takes over from the other."""
        return bool(self._gaps) or self.takes_over

    def gap_events(self) -> list[GapEvent]:
        """Say which gaps begin and end; to be called when all packets have been observed."""
        return [event for gap in self._gaps for event in self._events(gap)]

    def _events(self, gap: _Gap) -> list[GapEvent]:
        if gap.outage is None:
            return [GapEvent(gap.at, None, feed=gap.feed)]
        begun = GapEvent(gap.at, gap.outage.cause, feed=gap.feed)
        carried = self._carried(gap.feed, gap.outage.connection)
        if gap.standby is None:
            return [begun._replace(instruments=carried)]
        other = 1 - gap.feed
        known = set(self._carried(other, max(gap.standby, 0)))
        alone = tuple(each for each in carried if each not in known)
        both = tuple(each for each in carried if each in known)
        events = [begun._replace(instruments=both, covered_by=other)] if both or not carried else []
        return [*events, begun._replace(instruments=alone)] if alone else events

    def _carried(self, place: int, connection: int) -> tuple[int, ...]:
        """Return what came of a feed on a connection or a later one."""
        observer = self._memory.shadow if place else self._memory.observer
        return observer.carried(connection)


def _is_late(feed: Feed, at: int) -> bool:
    is_stalled = at - feed.last_frame_at > STALL_SECONDS * 1e9
    return is_stalled or at - feed.told_at > SILENT_SECONDS * 1e9


def _text(record: Record) -> str:
    """Read a payload as text that PostgreSQL takes."""
    return record.payload.decode(errors="replace").replace("\0", "\ufffd")
