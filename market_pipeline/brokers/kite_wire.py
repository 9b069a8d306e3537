"""Kite's binary market data, both ways: frames to columns and columns to frames. No I/O, no clock.

A frame is an int16 count, then for each packet an int16 length and that many bytes, all big
endian (https://kite.trade/docs/connect/v3/websocket/#message-structure). Packets of one length
have one layout. Prices are integers in a fraction of a rupee that depends on the segment, which
is the low byte of the token. The vendor's own parser reads prices unsigned; spread contracts can
trade below zero, so prices are signed here.
"""

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market_pipeline.market import Columns, Decoded, Fault, Mode, empty_packets

EXCHANGE_BY_CODE = {
    1: "NSE",
    2: "NFO",
    3: "CDS",
    4: "BSE",
    5: "BFO",
    6: "BCD",
    7: "MCX",
    9: "INDICES",
    12: "NCO",
}
CODE_BY_EXCHANGE = {name: code for code, name in EXCHANGE_BY_CODE.items()}
INDICES = 9
HEARTBEAT = b"\x00"

_DIVISOR = np.full(256, 100.0)
_DIVISOR[3] = 10_000_000.0  # CDS quotes four decimals in units of 1e-7
_DIVISOR[[6, 12]] = 10_000.0  # BCD and NCO

_PART_BYTES = 64 * 1024

_COUNT = struct.Struct(">H")
_LENGTH = np.dtype([("length", ">u2")])

# Names are those of PACKET_COLUMNS; names with an underscore in front are not kept.
_LTP = [("token", ">u4"), ("last_price", ">i4")]
_QUOTE = [
    *_LTP,
    ("last_quantity", ">u4"),
    ("average_price", ">i4"),
    ("day_volume", ">u4"),
    ("buy_quantity", ">u4"),
    ("sell_quantity", ">u4"),
    ("day_open", ">i4"),
    ("day_high", ">i4"),
    ("day_low", ">i4"),
    ("previous_close", ">i4"),
]
_LEVEL = [("quantity", ">u4"), ("price", ">i4"), ("orders", ">u2"), ("_padding", ">u2")]
_FULL = [
    *_QUOTE,
    ("last_trade_time", ">u4"),
    ("open_interest", ">u4"),
    ("_day_high_open_interest", ">u4"),
    ("_day_low_open_interest", ">u4"),
    ("exchange_time", ">u4"),
    ("depth", np.dtype(_LEVEL), (10,)),  # five bids, then five asks, the best first
]
_INDEX_QUOTE = [
    *_LTP,
    ("day_high", ">i4"),
    ("day_low", ">i4"),
    ("day_open", ">i4"),
    ("previous_close", ">i4"),
    ("_change", ">i4"),
]
_INDEX_FULL = [*_INDEX_QUOTE, ("exchange_time", ">u4")]

_LAYOUTS: dict[int, np.dtype[Any]] = {
    body.itemsize: np.dtype([("_length", ">u2"), *body.descr])
    for body in (np.dtype(d) for d in (_LTP, _INDEX_QUOTE, _INDEX_FULL, _QUOTE, _FULL))
}
_PRICES = {"last_price", "average_price", "day_open", "day_high", "day_low", "previous_close"}
_BEST = {"bid_price", "bid_quantity", "ask_price", "ask_quantity"}  # read from "depth"


def price_divisor(tokens: NDArray[Any]) -> NDArray[np.float64]:
    """Return how many wire units make one rupee (or index point) for each token."""
    return np.asarray(_DIVISOR[(tokens & 0xFF).astype(np.intp)])


def decode(frames: Sequence[bytes]) -> Decoded:
    """Read the packets of many frames at once, in order.

    Never raises on malformed input: packets before a cut are kept, and what could not be read is
    returned as a fault. Heartbeats and other frames of fewer than four bytes hold no packet.
    """
    faults: list[Fault] = []
    bodies: list[memoryview] = []
    lengths: list[NDArray[np.uint16]] = []
    counts = np.zeros(len(frames), np.int64)
    for index, frame in enumerate(frames):
        if len(frame) < 4:
            if len(frame) != 1:
                faults.append(Fault(index, f"a frame of {len(frame)} bytes", bytes(frame)))
            continue
        found, end, reason = _packet_lengths(frame)
        if reason:
            faults.append(Fault(index, reason, bytes(frame)))
        counts[index] = len(found)
        lengths.append(found)
        bodies.append(memoryview(frame)[2:end])
    frame_index = np.repeat(np.arange(len(frames)), counts)
    all_lengths = np.concatenate(lengths) if lengths else np.zeros(0, np.uint16)
    first = int(all_lengths[0]) if all_lengths.size else 0
    if first in _LAYOUTS and (all_lengths == first).all():
        return Decoded(
            _decode_alike(bodies, all_lengths.size, _LAYOUTS[first]), frame_index, faults
        )
    return _decode_mixed(b"".join(bodies), all_lengths, frame_index, faults)


def _packet_lengths(frame: bytes) -> tuple[NDArray[np.uint16], int, str | None]:
    """Return the lengths of the whole packets of a frame, where they end, and what is wrong."""
    declared = _COUNT.unpack_from(frame, 0)[0]
    stride = _COUNT.unpack_from(frame, 2)[0] + 2
    if len(frame) == 2 + declared * stride:  # packets of one length: the common case, no loop
        strided = np.ndarray(declared, ">u2", frame, offset=2, strides=(stride,))
        if (strided == stride - 2).all():
            return strided.astype(np.uint16), len(frame), None
    return _walk(frame, declared)


def _walk(frame: bytes, declared: int) -> tuple[NDArray[np.uint16], int, str | None]:
    found: list[int] = []
    position, size = 2, len(frame)
    unpack = _COUNT.unpack_from
    while len(found) < declared and position + 2 <= size:
        length = unpack(frame, position)[0]
        if position + 2 + length > size:
            break
        found.append(length)
        position += 2 + length
    reason = None
    if len(found) < declared:
        reason = f"cut short: {len(found)} of {declared} packets are whole"
    elif position < size:
        reason = f"{size - position} bytes after the last of {declared} packets"
    return np.array(found, np.uint16), position, reason


def _decode_alike(bodies: Sequence[memoryview], count: int, layout: np.dtype[Any]) -> Columns:
    """Read packets of one layout, part by part: whole columns would not stay in the cache."""
    packets = empty_packets(count)
    start = 0
    for part in _parts(bodies):
        wire = np.frombuffer(part, layout)
        _fill(packets, slice(start, start + len(wire)), wire)
        start += len(wire)
    return packets


def _parts(bodies: Sequence[memoryview]) -> Iterator[bytes | memoryview]:
    """Join consecutive small bodies: reading one packet takes as long as reading hundreds."""
    small: list[memoryview] = []
    size = 0
    for body in bodies:
        small.append(body)
        size += len(body)
        if size >= _PART_BYTES:
            yield small[0] if len(small) == 1 else b"".join(small)
            small, size = [], 0
    if small:
        yield b"".join(small)


def _decode_mixed(
    body: bytes, lengths: NDArray[np.uint16], frame: NDArray[np.int64], faults: list[Fault]
) -> Decoded:
    strides = lengths.astype(np.int64) + 2
    offsets = np.cumsum(strides) - strides
    known = np.isin(lengths, list(_LAYOUTS))
    for lost in np.flatnonzero(~known):
        start = int(offsets[lost]) + 2
        payload = body[start : start + int(lengths[lost])]
        faults.append(Fault(int(frame[lost]), f"a packet of {lengths[lost]} bytes", payload))
    lengths, offsets, frame = lengths[known], offsets[known], frame[known]
    packets = empty_packets(len(lengths))
    raw = np.frombuffer(body, np.uint8)
    for length in np.unique(lengths):
        layout = _LAYOUTS[int(length)]
        rows = np.flatnonzero(lengths == length)
        chunk = raw[offsets[rows][:, None] + np.arange(layout.itemsize)]
        _fill(packets, rows, chunk.view(layout).ravel())
    return Decoded(packets, frame, faults)


def _fill(packets: Columns, rows: Any, wire: NDArray[Any]) -> None:
    divisor = price_divisor(wire["token"])
    for name in wire.dtype.names or ():
        if name in _PRICES:
            packets[name][rows] = wire[name] / divisor
        elif name in packets:
            packets[name][rows] = wire[name]
    if "depth" in (wire.dtype.names or ()):
        for side, level in (("bid", 0), ("ask", 5)):
            best = wire["depth"][:, level]
            packets[f"{side}_price"][rows] = best["price"] / divisor
            packets[f"{side}_quantity"][rows] = best["quantity"]


def subscription_messages(current: Mapping[int, Mode], wanted: Mapping[int, Mode]) -> list[bytes]:
    """Return what to send so that a connection carries `wanted` instead of `current`."""
    messages: list[dict[str, Any]] = []
    if gone := [token for token in current if token not in wanted]:
        messages.append({"a": "unsubscribe", "v": gone})
    if new := [token for token in wanted if token not in current]:
        messages.append({"a": "subscribe", "v": new})
    for mode in Mode:
        if tokens := [t for t, m in wanted.items() if m is mode and current.get(t) is not mode]:
            messages.append({"a": "mode", "v": [mode.value, tokens]})
    return [json.dumps(message).encode() for message in messages]


def encode(packets: Columns, mode: Mode) -> bytes:
    """Write packets of one mode as a frame; the inverse of decode.

    Index tokens take their own layout. Only the best level of depth is known from PACKET_COLUMNS;
    the other four are zero unless `packets` has `depth_price`, `depth_quantity` and
    `depth_orders`, each of shape (n, 10): five bids, then five asks.
    """
    tokens = packets["token"]
    is_index = (tokens & 0xFF) == INDICES
    parts = [_COUNT.pack(len(tokens))]
    edges = np.flatnonzero(np.diff(is_index, prepend=~is_index[:1]))  # runs keep their order
    for start, end in zip(edges, [*edges[1:], len(tokens)], strict=True):
        layout = _LAYOUTS[_length(mode, bool(is_index[start]))]
        parts.append(_to_wire(packets, slice(start, end), layout).tobytes())
    return b"".join(parts)


def _length(mode: Mode, is_index: bool) -> int:
    if mode is Mode.LTP:
        return 8
    if is_index:
        return 28 if mode is Mode.QUOTE else 32
    return 44 if mode is Mode.QUOTE else 184


def _to_wire(packets: Columns, rows: slice, layout: np.dtype[Any]) -> NDArray[Any]:
    divisor = price_divisor(packets["token"][rows])
    wire = np.zeros(len(divisor), layout)
    wire["_length"] = layout.itemsize - 2
    for name in layout.names or ():
        if name in _PRICES:
            wire[name] = np.rint(packets[name][rows] * divisor)
        elif name in packets:
            wire[name] = packets[name][rows]
    if "depth" in (layout.names or ()):
        _write_depth(wire["depth"], packets, rows, divisor)
    return wire


def _write_depth(
    depth: NDArray[Any], packets: Columns, rows: slice, divisor: NDArray[np.float64]
) -> None:
    if "depth_price" in packets:
        depth["price"] = np.rint(packets["depth_price"][rows] * divisor[:, None])
        depth["quantity"] = packets["depth_quantity"][rows]
        depth["orders"] = packets["depth_orders"][rows]
        return
    for side, level in (("bid", 0), ("ask", 5)):
        depth["price"][:, level] = np.rint(packets[f"{side}_price"][rows] * divisor)
        depth["quantity"][:, level] = packets[f"{side}_quantity"][rows]


def carried(packets: Columns, mode: Mode) -> Columns:
    """Return what is left of packets that are sent in a mode: what decode is to make of them."""
    divisor = price_divisor(packets["token"])
    left = empty_packets(len(divisor))
    is_index = (packets["token"] & 0xFF) == INDICES
    for kind in (False, True):
        rows = np.flatnonzero(is_index == kind)
        names = set(_LAYOUTS[_length(mode, kind)].names or ())
        for name in left.keys() & (names | _BEST if "depth" in names else names):
            values = packets[name][rows]
            if left[name].dtype.kind == "f":
                values = np.rint(values * divisor[rows]) / divisor[rows]
            left[name][rows] = values
    return left
