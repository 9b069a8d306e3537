"""What a journal is made of: records, and the search for whole ones in bytes that may be damaged.

A record is a 25-byte header and its payload::

    magic 4 | kind 1 | received_at 8 (ns since 1970, UTC) | length 4 | head crc 4 | body crc 4

The header has a checksum of its own, so that a damaged length cannot mislead the reader: after
damage it looks for the next whole record by its magic. Pure: no I/O.
"""

import struct
import zlib
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

_HEAD = struct.Struct(">4sBQI")
_CRCS = struct.Struct(">II")
HEADER_BYTES = _HEAD.size + _CRCS.size
_MAGIC = b"\xabMPJ"
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


class Damage(NamedTuple):
    """A stretch of the journal in which no whole record was found."""

    position: int
    end: int
    payload: bytes


def encode(kind: RecordKind, received_at: int, payload: bytes) -> bytes:
    head = _HEAD.pack(_MAGIC, kind, received_at, len(payload))
    return head + _CRCS.pack(zlib.crc32(head), zlib.crc32(payload)) + payload


def scan(data: bytes, base: int = 0) -> Iterator[Record | Damage]:
    """Yield the records in `data`, whose first byte is at position `base`, and any damage between.

    Ends before a record that is not whole yet; what follows the last whole record is not reported.
    """
    at = bad_from = 0
    while at + HEADER_BYTES <= len(data):
        record = _whole_record(data, at, base)
        if record is not None:
            if bad_from < at:
                yield Damage(base + bad_from, base + at, data[bad_from:at])
            yield record
            at = bad_from = record.end - base
            continue
        # A sound header is believed: what its payload holds may look like records.
        end = _announced_end(data, at)
        at = end if end is not None and _is_boundary(data, end) else _next_magic(data, at + 1)


def _announced_end(data: bytes, at: int) -> int | None:
    """Return where the record ends whose header is here; None where no sound header is."""
    magic, _, _, length = _HEAD.unpack_from(data, at)
    head_crc, _ = _CRCS.unpack_from(data, at + _HEAD.size)
    if magic != _MAGIC or head_crc != zlib.crc32(data[at : at + _HEAD.size]):
        return None
    return at + HEADER_BYTES + int(length)


def _is_boundary(data: bytes, at: int) -> bool:
    """Tell whether a record can begin here: bytes may have been lost from the one before."""
    return at + HEADER_BYTES > len(data) or _announced_end(data, at) is not None


def _next_magic(data: bytes, start: int) -> int:
    found = data.find(_MAGIC, start)
    return len(data) if found < 0 else found


def _whole_record(data: bytes, at: int, base: int) -> Record | None:
    end = _announced_end(data, at)
    if end is None or end > len(data):
        return None
    _, kind, received_at, _ = _HEAD.unpack_from(data, at)
    _, body_crc = _CRCS.unpack_from(data, at + _HEAD.size)
    payload = data[at + HEADER_BYTES : end]
    if body_crc != zlib.crc32(payload) or kind not in _KINDS:
        return None
    return Record(_KINDS[kind], received_at, payload, base + at, base + end)
