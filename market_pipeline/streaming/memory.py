"""All that the meaning of a record may depend on, and how it is written down."""

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from io import BytesIO
from typing import Any, NamedTuple

import polars as pl

from market_pipeline.brokers.decoding import Decoder
from market_pipeline.errors import JournalError
from market_pipeline.streaming.arrivals import Arrivals
from market_pipeline.streaming.observations import Observer

_OF_ONE_FEED = b"MPD1"
"""Begins a state in which a decoder's stands before the observer's, which is Arrow."""
_OF_TWO_FEEDS = b"MPD2"
_LENGTH = struct.Struct(">I")


class Outage(NamedTuple):
    """A gap of a feed that has not ended: the connection that it befell, and why."""

    connection: int
    cause: str


@dataclass
class Feed:
    """What is known of the connection to one broker. Times are nanoseconds since 1970."""

    decoder: Decoder
    connection: int = -1
    last_received_at: int | None = None
    last_frame_at: int = 0
    told_at: int = 0
    """When the last frame came that may have held packets."""
    is_up: bool = False
    """Whether a frame was received on the connection, and understood, since it was made."""
    up_on: int = -1
    """The connection it is up on, or was last."""
    up_before: int = -1
    """The one before that. A new connection takes a moment until it has told all instruments."""
    blind_since: int | None = None
    """The end of damage after which frames cannot be understood until a new connection begins."""
    outage: Outage | None = None


class Memory:
    """What is known of each feed, the preferred one first, and of each instrument."""

    def __init__(self, decoders: Sequence[Decoder], connection: int = -1) -> None:
        self.feeds = [Feed(decoder) for decoder in decoders]
        self.feeds[0].connection = connection
        self.observer = Observer()
        """Compares the packets that become ticks."""
        self.shadow = Observer(feed=1)
        """Compares all packets of the feed that stands by, whatever becomes of them."""
        self.held: Arrivals | None = None
        """Of the feed that stands by, until it is known whether the preferred one was alive."""
        self.recent: Arrivals | None = None
        """What was held last and stood by: of some instruments it may be newer than what the
        preferred feed has told."""
        self.stands_by = False
        """Whether the preferred feed lives, so that the other makes no ticks."""
        self.is_stopped = True

    def copy(self) -> "Memory":
        other = Memory([feed.decoder for feed in self.feeds])
        other.feeds = [replace(feed, decoder=feed.decoder.copy()) for feed in self.feeds]
        other.observer, other.shadow = self.observer.copy(), self.shadow.copy()
        other.held, other.is_stopped = self.held, self.is_stopped
        other.recent, other.stands_by = self.recent, self.stands_by
        return other

    @property
    def connection(self) -> int:
        """The connection of the preferred feed."""
        return self.feeds[0].connection

    @property
    def last_received_at(self) -> int | None:
        """When the last record was received, of whichever feed."""
        times = [feed.last_received_at for feed in self.feeds if feed.last_received_at is not None]
        return max(times, default=None)

    @property
    def anomalies(self) -> int:
        return self.observer.anomalies + self.shadow.anomalies

    def dump(self) -> bytes:
        """Write down what is known of packets and instruments; see load."""
        decoders, observer = [feed.decoder.state() for feed in self.feeds], self.observer.dump()
        if len(decoders) == 1 and not decoders[0]:
            return observer
        if len(decoders) == 1:
            return _OF_ONE_FEED + _LENGTH.pack(len(decoders[0])) + decoders[0] + observer
        parts = [*decoders, observer, self.shadow.dump(), dumped(self.held)]
        recent = dumped(self.recent)
        head = {
            "recent": len(recent),
            "stands_by": self.stands_by,
            "feeds": [_told(feed) for feed in self.feeds],
            "shadow_arrivals": self.shadow.arrivals,
            "lengths": [len(part) for part in parts],
        }
        text = json.dumps(head).encode()
        return b"".join([_OF_TWO_FEEDS, _LENGTH.pack(len(text)), text, *parts, recent])

    def load(self, state: bytes | None, arrivals: int) -> None:
        """Read what dump has written; None forgets everything of the instruments.

        Raises:
            JournalError: packets of a second feed are held, and only one is listened to now.
        """
        if state is None:
            self.shadow.load(None, self.shadow.arrivals)
            self.held = self.recent = None
            self.stands_by = False
        elif state.startswith(_OF_TWO_FEEDS):
            state = self._load_two(state)
        elif state.startswith(_OF_ONE_FEED):
            begin = len(_OF_ONE_FEED) + _LENGTH.size
            (length,) = _LENGTH.unpack_from(state, len(_OF_ONE_FEED))
            self.feeds[0].decoder.load(state[begin : begin + length])
            state = state[begin + length :]
        self.observer.load(state, arrivals)

    def _load_two(self, state: bytes) -> bytes:
        """Read all but the observer's state, and return that."""
        begin = len(_OF_TWO_FEEDS) + _LENGTH.size
        (length,) = _LENGTH.unpack_from(state, len(_OF_TWO_FEEDS))
        head = json.loads(state[begin : begin + length])
        parts, at = [], begin + length
        for size in head["lengths"]:
            parts.append(state[at : at + size])
            at += size
        *decoders, observer, shadow, held = parts
        if held:
            require_feed(self, 1)
        # Where there is one feed now, what is known of the other is not needed any more.
        self.feeds = [
            _remembered(feed.decoder, known, decoder)
            for feed, known, decoder in zip(self.feeds, head["feeds"], decoders, strict=False)
        ]
        self.shadow.load(shadow, head["shadow_arrivals"])
        self.held = _loaded(held)
        self.recent = _loaded(state[at : at + head.get("recent", 0)])
        self.stands_by = head.get("stands_by", False)
        return observer


def require_feed(memory: Memory, place: int) -> None:
    """Check that a feed which the journal has is listened to.

    Raises:
        JournalError: it is not, and what the journal has of it would be lost.
    """
    if place >= len(memory.feeds):
        raise JournalError(
            "the journal holds frames of a second broker that may not be stored yet: run the "
            "stream once more with both in BROKER, the preferred one first, and stop it in order"
        )


def _told(feed: Feed) -> dict[str, Any]:
    return {each.name: getattr(feed, each.name) for each in fields(feed) if each.name != "decoder"}


def _remembered(decoder: Decoder, known: dict[str, Any], state: bytes) -> Feed:
    outage = known.pop("outage")
    decoder.load(state)
    return Feed(decoder, **known, outage=Outage(*outage) if outage else None)


def dumped(arrivals: Arrivals | None) -> bytes:
    """Write packets down as Arrow IPC; none is nothing."""
    if arrivals is None:
        return b""
    buffer = BytesIO()
    pl.DataFrame({**arrivals.packets, **arrivals.identities}).write_ipc(buffer)
    return buffer.getvalue()


def _loaded(state: bytes) -> Arrivals | None:
    if not state:
        return None
    columns = {each.name: each.to_numpy() for each in pl.read_ipc(BytesIO(state))}
    return Arrivals.of_columns(columns)
