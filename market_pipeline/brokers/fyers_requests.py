"""What a client says on Fyers' data socket, and how it reads the answers. No I/O, no clock.

The requests are those of the SDK (fyers-apiv3 3.2.0, FyersWebsocket/data_ws.py), byte by byte but
for the length in front, which the SDK writes wrong and nobody reads.
"""

import struct
from collections.abc import Iterable
from typing import NamedTuple

from market_pipeline.brokers.fyers_layout import fields, frame_of, text_of
from market_pipeline.brokers.fyers_wire import ACK, AUTH, MODE, SUBSCRIBE, UNSUBSCRIBE

PING = bytes([0, 1, 11])
"""Is not answered. The server cuts a client off that has not sent one for about two minutes."""

TOO_MANY_SYMBOLS = 51001

_SOURCE = b"PythonSDK-3.2.0"
_CHANNEL = 11
_TOPICS_A_FRAME = 1500  # as the SDK; a frame's length has sixteen bits
_YES = b"K"


def login(hsm_key: str) -> bytes:
    """Write the first request of a connection; `hsm_key` is a claim of the access token."""
    return frame_of(AUTH, [hsm_key.encode(), b"P", b"\x01", _SOURCE])


def full_mode() -> bytes:
    """Ask for all values of what is subscribed to, rather than for the last price alone."""
    return frame_of(MODE, [struct.pack(">Q", 1 << _CHANNEL), b"F"])


def subscription(topics: Iterable[str]) -> list[bytes]:
    """Write the requests that add topics."""
    return _about(SUBSCRIBE, sorted(topics))


def unsubscription(topics: Iterable[str]) -> list[bytes]:
    """Write the requests that take topics away."""
    return _about(UNSUBSCRIBE, sorted(topics))


def acknowledgement(number: int) -> bytes:
    """Say that the frames of market data up to this number have come."""
    return frame_of(ACK, [struct.pack(">I", number)])


def _about(kind: int, topics: list[str]) -> list[bytes]:
    parts = [topics[i : i + _TOPICS_A_FRAME] for i in range(0, len(topics), _TOPICS_A_FRAME)]
    return [
        frame_of(
            kind,
            [struct.pack(">H", len(part)) + b"".join(map(text_of, part)), bytes([_CHANNEL])],
        )
        for part in parts
    ]


class Reply(NamedTuple):
    """The answer to a request."""

    is_yes: bool
    ack_count: int = 0  # of a login: an acknowledgement is due after so many frames, 0 for none


class Message(NamedTuple):
    """What the server says of its own accord."""

    code: int
    text: str


def read_reply(frame: bytes) -> Reply:
    """Read an answer.

    The real server's answer to a login holds two bytes where the SDK reads a count of four, so
    that the SDK never acknowledges anything and is not cut off either: only four bytes are a count.

    Raises:
        ValueError: it cannot be read.
    """
    found = _fields(frame)
    count = found.get(2, b"")
    return Reply(found[1] == _YES, int.from_bytes(count, "big") if len(count) == 4 else 0)


def read_message(frame: bytes) -> Message:
    """Read a message.

    Raises:
        ValueError: it cannot be read.
    """
    found = _fields(frame)
    code = int.from_bytes(found[1], "big", signed=True)
    return Message(code, found.get(2, b"").decode(errors="replace"))


def _fields(frame: bytes) -> dict[int, bytes]:
    try:
        found = fields(frame)
        found[1]  # every answer has one
    except (IndexError, KeyError, struct.error):
        raise ValueError(f"an answer that cannot be read: {frame[:32].hex(' ')}") from None
    return found
