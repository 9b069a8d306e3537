"""What a journal is made of: records, and the search for whole ones in bytes that may be damaged.

A record is a 25-byte header and its payload::

    magic 4 | kind 1 | received_at 8 (ns since 1970, UTC) | length 4 | head crc 4 | body crc 4

In the higher four bits of the kind is the feed: the place of a broker among those of the stream.
The header has a checksum of its own, so that a damaged length cannot mislead the reader: after
damage it looks for the next header by its magic. That checksum begins with the record's position,
so a record is one only where it was written: not inside of a payload that holds bytes of a journal,
and not in a segment file that took the place of another. Pure: no I/O.
"""

import struct
import zlib
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

_HEAD = struct.Struct(">4sBQI")
_CRCS = struct.Struct(">II")
HEADER_BYTES = _HEAD.size + _CRCS.size
_MAGIC = b"\xabMP2"
MAX_PAYLOAD_BYTES = 64 * 1024 * 1024


class RecordKind(IntEnum):
    FRAME = 1
    TEXT = 2
    CONNECTED = 3
    DISCONNECTED = 4  # payload: the cause
    STARTED = 5  # a process began; payload: its run id
    STOPPED = 6  # a process ended in order; payload: the reason
    SUBSCRIBED = 7  # payload: how many tokens are subscribed now


_KINDS = {kind.value: kind for kind in RecordKind}


class Record(NamedTuple):
    kind: RecordKind
    received_at: int  # nanoseconds since 1970, UTC
    payload: bytes
    position: int  # of its first byte
    end: int  # of the next record
    feed: int = 0


class Damage(NamedTuple):
    """A stretch of the journal in which no whole record was found."""

    position: int
    end: int
    payload: bytes


def encode(
    kind: RecordKind, received_at: int, payload: bytes, position: int, feed: int = 0
) -> bytes:
    head = _HEAD.pack(_MAGIC, feed << 4 | kind, received_at, len(payload))
    return head + _CRCS.pack(_head_crc(head, position), zlib.crc32(payload)) + payload


def _head_crc(head: bytes, position: int) -> int:
    return zlib.crc32(head, position & 0xFFFFFFFF)


def scan(data: bytes, base: int) -> Iterator[Record | Damage]:
    """Yield the records in `data`, whose first byte is at position `base`, and any damage between.

    Ends before a record that is not whole yet; what follows the last whole record is not reported.
    More data only adds to what is yielded.
    """
    at = bad_from = 0
    while at + HEADER_BYTES <= len(data):
        end = _announced_end(data, at, base)
        if end is None:
            at = _next_magic(data, at + 1)
            continue
        if end > len(data):
            return
        record = _whole_record(data, at, end, base)
        if record is not None:
            if bad_from < at:
                yield Damage(base + bad_from, base + at, data[bad_from:at])
            yield record
            bad_from = end
        at = end  # also where the payload is damaged: no other record begins inside of it


def _announced_end(data: bytes, at: int, base: int) -> int | None:
    """Return where the record ends whose header is here; None where no sound header is."""
    head = data[at : at + _HEAD.size]
    magic, _, _, length = _HEAD.unpack(head)
    head_crc, _ = _CRCS.unpack_from(data, at + _HEAD.size)
    if magic != _MAGIC or head_crc != _head_crc(head, base + at):
        return None
    return at + HEADER_BYTES + int(length)


def _next_magic(data: bytes, start: int) -> int:
    found = data.find(_MAGIC, start)
    return len(data) if found < 0 else found


def _whole_record(data: bytes, at: int, end: int, base: int) -> Record | None:
    """Return the record from here to its announced end; None if its payload is damaged."""
    _, byte, received_at, _ = _HEAD.unpack_from(data, at)
    feed, kind = byte >> 4, byte & 0x0F
    _, body_crc = _CRCS.unpack_from(data, at + _HEAD.size)
    payload = data[at + HEADER_BYTES : end]
    if body_crc != zlib.crc32(payload) or kind not in _KINDS:
        return None
    return Record(_KINDS[kind], received_at, payload, base + at, base + end, feed)
