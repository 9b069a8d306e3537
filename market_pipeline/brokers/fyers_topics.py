"""What a connection has said so far of each of its topics, and what changes make of it. Arrays."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from market_pipeline.market import MISSING, PACKET_COLUMNS, Columns

UNCHANGED = -(2**31)
"""The value that stands for none: in an update as before, in a snapshot not known."""
WIDTH = 21
"""As many values of a topic are kept: all of a contract, those of an index in front."""


class Kind(IntEnum):
    UNKNOWN = 0
    CONTRACT = 1
    INDEX = 2
    DEPTH = 3


class Topic(NamedTuple):
    """What a topic id stands for; a price is a value / divisor."""

    kind: Kind
    token: int = 0
    divisor: float = 1.0


@dataclass(frozen=True)
class Items:
    """Items in the order of their arrival."""

    topic_id: NDArray[np.uint16]
    values: NDArray[Any]  # i32 of shape (n, WIDTH)
    snapshots: dict[int, Topic]  # what topic ids stand for from these places on


@dataclass(frozen=True)
class Merged:
    """What items mean after all that came before them, sorted by topic, then by arrival."""

    order: NDArray[np.intp]  # the place of each among the items
    kind: NDArray[np.uint8]
    token: NDArray[np.int64]
    divisor: NDArray[np.float64]
    values: NDArray[np.int32]  # of shape (WIDTH, n)

    def columns(self, rows: NDArray[np.intp], fields: Sequence[str]) -> Columns:
        """Return the columns of packets for some rows, given the names of their values."""
        columns: Columns = {"token": self.token[rows]}
        divisor = self.divisor[rows]
        for name, values in zip(fields, self.values, strict=False):
            if name in PACKET_COLUMNS:
                chosen = values[rows]
                is_price = PACKET_COLUMNS[name] == "f8"
                # Of quantities and times Fyers sends the low 32 bits as if they had a sign.
                found = chosen / divisor if is_price else chosen.view(np.uint32).astype(np.int64)
                found[chosen == UNCHANGED] = np.nan if is_price else MISSING
                columns[name] = found
        return columns


_KNOWN = np.dtype(
    [
        ("topic_id", "<u2"),
        ("kind", "u1"),
        ("token", "<i8"),
        ("divisor", "<f8"),
        ("values", "<i4", (WIDTH,)),
    ]
)
_MEANING = ("kind", "token", "divisor")
_VERSION = b"FYT1"


class Topics:
    """The topics of one connection."""

    def __init__(self) -> None:
        self._known = np.zeros(0, _KNOWN)  # sorted by topic id

    def copy(self) -> "Topics":
        other = Topics()
        other._known = self._known.copy()
        return other

    def state(self) -> bytes:
        """Write down all topics, at most 110 bytes each; nothing where there are none."""
        if not len(self._known):
            return b""
        return _VERSION + zlib.compress(self._known.tobytes(), level=1)

    def load(self, state: bytes) -> None:
        """Read what `state` wrote.

        Raises:
            ValueError: it is damaged, or another version's.
        """
        self._known = _read(state) if state else np.zeros(0, _KNOWN)

    def merge(self, items: Items) -> Merged:
        """Say what items mean, and remember it."""
        order = np.argsort(items.topic_id, kind="stable")
        ids = items.topic_id[order]
        is_first = np.diff(ids.astype(np.int64), prepend=-1) != 0
        starts = np.flatnonzero(is_first)
        slots = self._slots(ids[starts])
        before = self._known[slots]
        naming = _naming(items)[order]
        values = np.ascontiguousarray(items.values[order].T, np.int32)
        going_on = naming[starts] < 0  # there it depends on what came before
        _fill_in(values, starts[going_on], before["values"][going_on].T)
        is_whole = is_first | (naming >= 0)
        # What was known before, numbered by topic, or what a snapshot says, until the next does.
        meaning = np.where(naming >= 0, len(starts) + naming, np.cumsum(is_first) - 1)
        meaning = meaning[_last_place(is_whole)]
        said = np.concatenate([before[list(_MEANING)], _meanings(items)])[meaning]
        filled = _filled(values, is_whole)
        merged = Merged(order, said["kind"], said["token"], said["divisor"], filled)
        self._remember(slots, merged, np.flatnonzero(np.roll(is_first, -1)))
        return merged

    def _slots(self, distinct: NDArray[np.uint16]) -> NDArray[np.intp]:
        """Return where topics are among the known ones, adding those never seen."""
        known = np.ascontiguousarray(self._known["topic_id"])
        slots = np.searchsorted(known, distinct)
        is_new = slots == len(known)
        is_new[~is_new] = known[slots[~is_new]] != distinct[~is_new]
        if not is_new.any():
            return slots
        added = np.zeros(is_new.sum(), _KNOWN)
        added["topic_id"], added["values"] = distinct[is_new], UNCHANGED
        self._known = np.insert(self._known, slots[is_new], added)
        return np.searchsorted(self._known["topic_id"], distinct)

    def _remember(self, slots: NDArray[np.intp], merged: Merged, ends: NDArray[np.intp]) -> None:
        for name in _MEANING:
            self._known[name][slots] = getattr(merged, name)[ends]
        self._known["values"][slots] = merged.values[:, ends].T


def _naming(items: Items) -> NDArray[np.int64]:
    """Return which snapshot each item is, -1 for the others."""
    naming = np.full(len(items.topic_id), -1)
    naming[list(items.snapshots)] = np.arange(len(items.snapshots))
    return naming


def _meanings(items: Items) -> NDArray[Any]:
    return np.array(list(items.snapshots.values()), [(n, _KNOWN[n]) for n in _MEANING])


def _fill_in(values: NDArray[np.int32], places: NDArray[np.intp], before: NDArray[Any]) -> None:
    found = values[:, places]
    values[:, places] = np.where(found == UNCHANGED, before, found)


def _last_place(is_marked: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return for each place the last marked one up to it, along the last axis."""
    places = np.where(is_marked, np.arange(is_marked.shape[-1]), 0)
    return np.maximum.accumulate(places, axis=-1, out=places)


def _filled(values: NDArray[np.int32], is_whole: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Take what is unchanged from the item before, where an item is not whole by itself."""
    return np.take_along_axis(values, _last_place((values != UNCHANGED) | is_whole), axis=1)


def _read(state: bytes) -> NDArray[Any]:
    try:
        if not state.startswith(_VERSION):
            raise ValueError("it does not begin as it must")
        known = np.frombuffer(zlib.decompress(state[len(_VERSION) :]), _KNOWN).copy()
    except (ValueError, zlib.error) as error:
        raise ValueError(f"the state of Fyers' topics is unreadable: {error}") from None
    return known
