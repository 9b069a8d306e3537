"""Fyers' binary market data ("HSM"), both ways: frames to columns and back. No I/O, no clock.

Fyers documents none of this: the layouts are those that the parser of its SDK reads (fyers-apiv3
3.2.0, FyersWebsocket/data_ws.py). A frame is a u16 length, which not even the SDK writes correctly
and nobody reads, a u8 type and a body. Most bodies are a u8 count of fields, each a u8 number, a
u16 length and a value. A frame of market data (type 6) has instead a u32 message number, a u16
count, and that many items:

    'S' snapshot  u16 topic id, topic, u8 n, n values, 2 bytes, u16 multiplier, u8 precision,
                  exchange, exchange token, symbol
    'U' update    u16 topic id, u8 n, n values
    'L' lite      u16 topic id, the last price

Numbers are big endian, but topic ids, which the SDK reads in its machine's order, little endian.
Texts are a u8 length and that many bytes; values are i32. A snapshot says what a topic id stands
for until the connection ends; an update gives the values that changed (see UNCHANGED), so what it
means depends on what came before. Topics are `sf|nse_cm|3045` (a contract), `if|nse_cm|Nifty 50`
(an index) and `dp|nse_cm|3045` (depth).
"""

import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from market_pipeline.brokers import fyers_layout as layout
from market_pipeline.brokers.fyers_indices import TOKEN_BY_SYMBOL
from market_pipeline.brokers.fyers_topics import Items, Kind, Merged, Topic, Topics
from market_pipeline.market import Columns, Decoded, Fault, empty_packets

AUTH, ACK, SUBSCRIBE, UNSUBSCRIBE, DATA = 1, 3, 4, 5, 6
PAUSE, RESUME, PING, MODE, MASTER, CUSTOM = 7, 8, 11, 12, 13, 51
"""The types of frames. Fyers' side sends MASTER once; nobody knows what it says."""

# Names are those of PACKET_COLUMNS; names with an underscore in front are not kept.
SF_FIELDS = (
    "last_price day_volume last_trade_time exchange_time bid_quantity ask_quantity bid_price "
    "ask_price last_quantity buy_quantity sell_quantity average_price open_interest day_low "
    "day_high _year_high _year_low _lower_circuit _upper_circuit day_open previous_close"
).split()
"""The values of a contract, in their order."""
IF_FIELDS = "last_price previous_close exchange_time day_high day_low day_open".split()
"""The values of an index, in their order."""

EXCHANGES = {
    "nse_cm": (10, 10),
    "nse_fo": (10, 11),
    "cde_fo": (10, 12),
    "nse_com": (10, 20),
    "mcx_fo": (11, 20),
    "bse_cm": (12, 10),
    "bse_fo": (12, 11),
    "bcs_fo": (12, 12),
}
"""How topics call an exchange and a segment of it, and Fyers' codes of both."""

_KINDS = {"sf": Kind.CONTRACT, "if": Kind.INDEX, "dp": Kind.DEPTH}
_LONGEST_FRAME = 0xFFFF + 2
_DATA_HEADER = struct.Struct(">HBIH")
_NO_DATA = {AUTH, SUBSCRIBE, UNSUBSCRIBE, PAUSE, RESUME, PING, MODE, MASTER, CUSTOM}


def token_of(exchange_code: int, segment_code: int, exchange_token: str) -> int:
    """Return the token of a contract: its fyToken without the six digits of the expiry.

    Raises:
        ValueError: the exchange's own token is not a number, of 14 digits at most.
    """
    if not (exchange_token.isascii() and exchange_token.isdecimal()) or len(exchange_token) > 14:
        raise ValueError(f"{exchange_token!r} is no token of an exchange")
    return int(f"{exchange_code:02}{segment_code:02}{exchange_token}")


def snapshot_item(  # noqa: PLR0913 - the fields of the wire, in their order
    topic_id: int,
    topic: str,
    values: Sequence[int | None],
    multiplier: int,
    precision: int,
    exchange: str,
    exchange_token: str,
    symbol: str,
) -> bytes:
    """Write what a topic id stands for and all its values; None where there is no value."""
    texts = b"".join(map(layout.text_of, (exchange, exchange_token, symbol)))
    begin = struct.pack("<BH", layout.SNAPSHOT, topic_id) + layout.text_of(topic)
    scale = struct.pack(">HHB", 0, multiplier, precision)
    return begin + bytes([len(values)]) + layout.values_of(values) + scale + texts


def update_item(topic_id: int, values: Sequence[int | None]) -> bytes:
    """Write the values of a topic that changed; None where one did not."""
    begin = struct.pack("<BHB", layout.UPDATE, topic_id, len(values))
    return begin + layout.values_of(values)


def lite_item(topic_id: int, last_price: int) -> bytes:
    """Write a last price in the wire's unit."""
    return struct.pack("<BH", layout.LITE, topic_id) + layout.values_of([last_price])


def data_frame(items: Sequence[bytes], number: int) -> bytes:
    """Write a frame of items; `number` counts the frames of market data on a connection.

    Raises:
        ValueError: there are more items than fit into a frame of 65,537 bytes.
    """
    body = b"".join(items)
    size = _DATA_HEADER.size + len(body)
    if size > _LONGEST_FRAME:
        raise ValueError(f"{len(items)} items make a frame of {size} bytes: send several")
    return _DATA_HEADER.pack(size - 2, DATA, number, len(items)) + body


def reply(kind: int, ok: bool, ack_count: int | None = None) -> bytes:
    """Write the answer to a request; `ack_count`, which AUTH must have, asks for an ACK each so
    many frames of market data, 0 for none."""
    fields = [b"K" if ok else b"E"]
    if ack_count is not None:
        fields.append(struct.pack(">I", ack_count))
    return layout.frame_of(kind, fields)


def custom_message(code: int, text: str, about: int = SUBSCRIBE) -> bytes:
    """Write a message about a kind of request. Code 51001: more symbols than the plan allows."""
    return layout.frame_of(CUSTOM, [struct.pack(">i", code), text.encode(), bytes([about])])


class ClientRequest(NamedTuple):
    """What a client sent; of each kind only its own fields mean anything."""

    kind: int
    key: str = ""  # AUTH
    topics: tuple[str, ...] = ()  # SUBSCRIBE, UNSUBSCRIBE
    channel: int = 0  # SUBSCRIBE, UNSUBSCRIBE, MODE, PAUSE, RESUME
    mode: str = ""  # MODE: F for full, L for lite
    number: int = 0  # ACK


def read_request(frame: bytes) -> ClientRequest:
    """Read a client's frame.

    Raises:
        ValueError: it is not one.
    """
    try:
        kind = frame[2]
        return ClientRequest(kind, **_READERS[kind](frame))
    except (IndexError, KeyError, struct.error, UnicodeDecodeError):
        raise ValueError(f"not a request: {frame[:32].hex(' ')}") from None


def _subscribed(frame: bytes) -> dict[str, Any]:
    fields = layout.fields(frame)
    topics, _ = layout.texts(fields[1], 2, int.from_bytes(fields[1][:2], "big"))
    return {"topics": tuple(topics), "channel": fields[2][0]}


def _channel(frame: bytes) -> dict[str, Any]:
    """Read a set of channels, of which clients name one."""
    return {"channel": int.from_bytes(layout.fields(frame)[1], "big").bit_length() - 1}


_READERS: dict[int, Callable[[bytes], dict[str, Any]]] = {
    AUTH: lambda frame: {"key": layout.fields(frame)[1].decode()},
    SUBSCRIBE: _subscribed,
    UNSUBSCRIBE: _subscribed,
    MODE: lambda frame: _channel(frame) | {"mode": layout.fields(frame)[2].decode("ascii")},
    PAUSE: _channel,
    RESUME: _channel,
    ACK: lambda frame: {"number": int.from_bytes(layout.fields(frame)[1], "big")},
    PING: lambda _: {},
}


def carried(frame: bytes) -> int:
    """Return how many items a frame carries; of these, those of depth make no packet."""
    return len(layout.items(frame).starts) if frame[2:3] == bytes([DATA]) else 0


class Decoder:
    """Reads the frames of one connection after another; see decoding.Decoder.

    A snapshot gives a packet, as does an update, with what it leaves unchanged, and a lite item,
    with nothing but the last price. Items of depth are counted and give none.
    """

    remembers = True
    tells = staticmethod(lambda frame: frame[2:3] == bytes([DATA]))

    def __init__(self) -> None:
        self._topics = Topics()
        self.depth_items = 0

    def reset(self) -> None:
        """Begin a new connection, on which topic ids mean something else."""
        self._topics = Topics()

    def copy(self) -> Self:
        """Return a decoder that goes on from here without changing this one."""
        other = type(self)()
        other._topics, other.depth_items = self._topics.copy(), self.depth_items
        return other

    def state(self) -> bytes:
        """Write down what the topics of this connection stand for, and their last values."""
        return self._topics.state()

    def load(self, state: bytes) -> None:
        """Go on from a state that was written down; raises ValueError where it is damaged."""
        self._topics.load(state)

    def decode(self, frames: Sequence[bytes]) -> Decoded:
        """Read the packets of the next frames of the connection, in order.

        Never raises on malformed input: items before a cut are kept, and what could not be read
        is returned as a fault, as are updates of topics that no snapshot has named.
        """
        faults: list[Fault] = []
        stretches = [_stretch(frame, index, faults) for index, frame in enumerate(frames)]
        snapshots = _snapshots(frames, stretches, faults)
        found = layout.located(frames, [stretch.starts for stretch in stretches])
        merged = self._topics.merge(Items(found.topic_id, found.values, snapshots))
        kind = np.empty_like(merged.kind)
        kind[merged.order] = merged.kind
        self.depth_items += int((kind == Kind.DEPTH).sum())
        frame = np.repeat(np.arange(len(frames)), [len(each.starts) for each in stretches])
        strange = kind == Kind.UNKNOWN
        strange[list(snapshots)] = False  # said already
        for index in np.unique(frame[strange]).tolist():
            ids = np.unique(found.topic_id[strange & (frame == index)]).tolist()
            faults.append(_unnamed(index, ids, frames[index]))
        is_packet = (kind == Kind.CONTRACT) | (kind == Kind.INDEX)
        packets = _packets(merged, is_packet, found.kind[is_packet] == layout.LITE)
        return Decoded(packets, frame[is_packet], sorted(faults, key=lambda fault: fault.frame))


def _stretch(frame: bytes, index: int, faults: list[Fault]) -> layout.Stretch:
    stretch = layout.Stretch()
    if len(frame) < 3:
        stretch = layout.Stretch(reason=f"a frame of {len(frame)} bytes")
    elif frame[2] == DATA:
        stretch = layout.items(frame)
    elif frame[2] not in _NO_DATA:
        stretch = layout.Stretch(reason=f"a frame of type {frame[2]}")
    if stretch.reason:
        faults.append(Fault(index, stretch.reason, bytes(frame)))
    return stretch


def _snapshots(
    frames: Sequence[bytes], stretches: Sequence[layout.Stretch], faults: list[Fault]
) -> dict[int, Topic]:
    """Return what the snapshots among all items say, by their places."""
    topics: dict[int, Topic] = {}
    before = 0
    for index, stretch in enumerate(stretches):
        for place, snapshot in stretch.snapshots:
            try:
                topics[before + place] = _topic(snapshot)
            except (ValueError, KeyError):
                topics[before + place] = Topic(Kind.UNKNOWN)
                reason = f"a snapshot that cannot be understood: {snapshot}"
                faults.append(Fault(index, reason, bytes(frames[index])))
        before += len(stretch.starts)
    return topics


def _topic(snapshot: layout.Snapshot) -> Topic:
    kind, exchange, name = snapshot.topic.split("|")
    number = name
    if kind == "if":
        # No real snapshot of an index was seen so far: it may as well repeat the name there.
        number = TOKEN_BY_SYMBOL.get(snapshot.exchange_token.upper(), snapshot.exchange_token)
    divisor = 10.0**snapshot.precision * snapshot.multiplier
    if not divisor:
        raise ValueError("no price can be divided by zero")
    return Topic(_KINDS[kind], token_of(*EXCHANGES[exchange], number), divisor)


def _unnamed(index: int, topic_ids: list[int], frame: bytes) -> Fault:
    names = ", ".join(map(str, topic_ids[:5]))
    return Fault(index, f"values of topics that no snapshot has named: {names}", bytes(frame))


def _packets(merged: Merged, is_packet: NDArray[np.bool_], is_lite: NDArray[np.bool_]) -> Columns:
    place = np.cumsum(is_packet) - 1
    packets = empty_packets(int(is_packet.sum()))
    for kind, fields in ((Kind.CONTRACT, SF_FIELDS), (Kind.INDEX, IF_FIELDS)):
        rows = np.flatnonzero(merged.kind == kind)
        if len(rows):
            for name, column in merged.columns(rows, fields).items():
                packets[name][place[merged.order[rows]]] = column
    nothing = empty_packets(1) if is_lite.any() else {}
    for name in nothing.keys() - {"token", "last_price"}:
        packets[name][is_lite] = nothing[name]
    return packets
