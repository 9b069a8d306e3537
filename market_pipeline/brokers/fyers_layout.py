"""Where things are in Fyers' frames: the fields of most, the items of market data; both ways.

See fyers_wire.py for the layouts.
"""

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from market_pipeline.brokers.fyers_topics import UNCHANGED, WIDTH

SNAPSHOT, UPDATE, LITE = b"SUL"

_HEADER = struct.Struct(">HB")
_FIRST_ITEM = 9
_LOW_32_BITS = 0xFFFFFFFF
_COUNT = struct.Struct(">H")
_SCALE = struct.Struct(">HHB")  # two bytes of which nobody knows more, multiplier, precision
_LITE_SIZE = 7
_WINDOW = 4 * WIDTH


def frame_of(kind: int, values: Sequence[bytes]) -> bytes:
    """Write a frame of fields, numbered from 1."""
    numbered = enumerate(values, 1)
    body = b"".join(struct.pack(">BH", number, len(value)) + value for number, value in numbered)
    return _HEADER.pack(len(body) + 2, kind) + bytes([len(values)]) + body


def text_of(text: str) -> bytes:
    """Write a text after its length."""
    encoded = text.encode()
    return bytes([len(encoded)]) + encoded


def values_of(values: Sequence[int | None]) -> bytes:
    """Write i32; what is larger, as a volume of three billion, comes out negative, as at Fyers."""
    bits = (UNCHANGED if value is None else value for value in values)
    return struct.pack(f">{len(values)}I", *(value & _LOW_32_BITS for value in bits))


class Snapshot(NamedTuple):
    """What a snapshot says besides the values."""

    topic: str
    multiplier: int
    precision: int
    exchange_token: str


class Stretch(NamedTuple):
    """The items of a frame that are whole, and what is wrong with the rest."""

    starts: Sequence[int] = ()
    snapshots: Sequence[tuple[int, Snapshot]] = ()  # with their places among the items
    reason: str | None = None


def fields(frame: bytes) -> dict[int, bytes]:
    """Read the fields of a frame by their numbers.

    Raises:
        IndexError, struct.error: it is cut short.
    """
    found: dict[int, bytes] = {}
    position = 4
    for _ in range(frame[3]):
        number, length = struct.unpack_from(">BH", frame, position)
        position += 3
        found[number] = frame[position : position + length]
        position += length
    if position > len(frame):
        raise IndexError(position)
    return found


def texts(data: bytes, position: int, count: int) -> tuple[list[str], int]:
    """Read texts, each after its length, and return them and where they end.

    Raises:
        IndexError: they are cut short.
    """
    found = []
    for _ in range(count):
        end = position + 1 + data[position]
        found.append(data[position + 1 : end].decode(errors="replace"))
        position = end
    if position > len(data):
        raise IndexError(position)
    return found, position


def items(frame: bytes) -> Stretch:
    """Find the items of a frame of market data."""
    starts: list[int] = []
    snapshots: list[tuple[int, Snapshot]] = []
    position, size = _FIRST_ITEM, len(frame)
    if size < position:
        return Stretch(reason=f"a frame of market data of {size} bytes")
    declared = _COUNT.unpack_from(frame, 7)[0]
    try:
        while len(starts) < declared:
            kind = frame[position]
            if kind == UPDATE:
                end = position + 4 + 4 * frame[position + 3]
            elif kind == LITE:
                end = position + _LITE_SIZE
            elif kind == SNAPSHOT:
                snapshot, end = _snapshot(frame, position)
                snapshots.append((len(starts), snapshot))
            else:
                reason = f"item {len(starts) + 1} of {declared} is of kind {kind}"
                return Stretch(starts, snapshots, reason)
            if end > size:
                break
            starts.append(position)
            position = end
    except (IndexError, struct.error):
        pass  # the frame ends within an item
    return Stretch(starts, snapshots, _wrong(len(starts), declared, size - position))


def _wrong(found: int, declared: int, left: int) -> str | None:
    if found < declared:
        return f"cut short: {found} of {declared} items are whole"
    return f"{left} bytes after the last of {declared} items" if left else None


def _snapshot(frame: bytes, start: int) -> tuple[Snapshot, int]:
    (topic,), position = texts(frame, start + 3, 1)
    position += 1 + 4 * frame[position]
    _, multiplier, precision = _SCALE.unpack_from(frame, position)
    (_, exchange_token, _), end = texts(frame, position + _SCALE.size, 3)
    return Snapshot(topic, multiplier, precision, exchange_token), end


class Located(NamedTuple):
    """Items by columns."""

    kind: NDArray[np.uint8]
    topic_id: NDArray[np.uint16]
    values: NDArray[Any]  # i32 of shape (n, WIDTH), UNCHANGED where there is none


def located(frames: Sequence[bytes], starts: Sequence[Sequence[int]]) -> Located:
    """Read items of frames, given where they start."""
    raw = np.frombuffer(b"".join([*frames, bytes(_WINDOW)]), np.uint8)
    sizes = np.array([len(frame) for frame in frames], np.int64)
    counts = np.array([len(each) for each in starts], np.int64)
    at = np.repeat(np.cumsum(sizes) - sizes, counts)
    at += np.fromiter((start for each in starts for start in each), np.int64, len(at))
    kind = raw[at]
    topic_id = raw[at + 1] | raw[at + 2].astype(np.uint16) << 8
    at[kind == SNAPSHOT] += 1 + raw[at[kind == SNAPSHOT] + 3].astype(np.int64)
    count = np.where(kind == LITE, 1, raw[at + 3])
    at += np.where(kind == LITE, 3, 4)
    values = sliding_window_view(raw, _WINDOW)[at].view(">i4")
    if (count < WIDTH).any():
        values[count[:, None] <= np.arange(WIDTH)] = UNCHANGED
    return Located(kind, topic_id, values)
