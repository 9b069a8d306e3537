"""Keeps what a stream remembered now and then, beside its journal: a rebuild begins at one.

The database has the newest checkpoint alone, which is what a restart needs. A file here is named
after its position; its header, like a record's, has a checksum of its own.
"""

import logging
import os
import struct
import time
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

from market_pipeline.storage.ticks import Checkpoint
from market_pipeline.streaming.segments import segments

log = logging.getLogger(__name__)

_SUFFIX = ".checkpoint"
_STAGED = ".checkpoint-staged"
_SECONDS_BETWEEN = 600.0
_HEAD = struct.Struct(">4sQQqQI")
_CRC = struct.Struct(">I")
_HEADER_BYTES = _HEAD.size + _CRC.size
_MAGIC = b"MPC1"


class Mark(NamedTuple):
    """What the header of a checkpoint says."""

    position: int
    arrivals: int
    connection: int
    received_at: int  # of the last record before the position, ns since 1970; 0 before the first

    @classmethod
    def of(cls, checkpoint: Checkpoint, received_at: int) -> Self:
        return cls(checkpoint.position, checkpoint.arrivals, checkpoint.connection, received_at)


def keep(folder: Path, checkpoint: Checkpoint, received_at: int) -> None:
    """Write a checkpoint if one is due: the first in a segment, and every ten minutes.

    A stream does not depend on these files: where one cannot be written there is a warning.
    """
    try:
        known = _positions(folder)
        before = [position for position in known if position <= checkpoint.position]
        withdraw(folder, known[len(before) :])  # the database has gone back to before these
        if _is_due(folder, before, checkpoint.position):
            stage(folder, checkpoint, received_at)
            adopt(folder, [checkpoint.position])
    except OSError as error:
        log.warning("no checkpoint of the journal %s could be kept: %s", folder, error)
        with suppress(OSError):
            discard_staged(folder)


def _is_due(folder: Path, known: list[int], position: int) -> bool:
    bases = [base for base, _ in segments(folder) if base <= position]
    if not known or (bases and known[-1] < bases[-1]):
        return True
    return time.time() - _path(folder, known[-1]).stat().st_mtime >= _SECONDS_BETWEEN


def stage(folder: Path, checkpoint: Checkpoint, received_at: int) -> None:
    """Write a checkpoint that nobody sees yet."""
    mark, state = Mark.of(checkpoint, received_at), checkpoint.state
    head = _HEAD.pack(_MAGIC, *mark, len(state))
    sums = _CRC.pack(zlib.crc32(head)), _CRC.pack(zlib.crc32(state))
    _path(folder, mark.position, _STAGED).write_bytes(b"".join([head, sums[0], state, sums[1]]))


def adopt(folder: Path, positions: Sequence[int]) -> None:
    """Let staged checkpoints take the place of those at the same positions, each whole."""
    for position in positions:
        os.replace(_path(folder, position, _STAGED), _path(folder, position))


def marks(folder: Path) -> list[Mark]:
    """Return the checkpoints of a journal, rising; those with a broken header are passed over."""
    found = (_mark(_path(folder, position)) for position in _positions(folder))
    return [mark for mark in found if mark is not None]


def _mark(path: Path) -> Mark | None:
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
    if len(head) == _HEADER_BYTES:
        magic, *values, _ = _HEAD.unpack_from(head)
        (crc,) = _CRC.unpack_from(head, _HEAD.size)
        if magic == _MAGIC and crc == zlib.crc32(head[: _HEAD.size]):
            return Mark(*values)
    log.warning("the checkpoint %s is broken and is passed over", path)
    return None


def load(folder: Path, mark: Mark) -> Checkpoint | None:
    """Read a checkpoint whole; None, with a warning, where it is broken."""
    path = _path(folder, mark.position)
    body = path.read_bytes()[_HEADER_BYTES:]
    state, crc = body[: -_CRC.size], body[-_CRC.size :]
    if len(crc) == _CRC.size and _CRC.unpack(crc)[0] == zlib.crc32(state):
        return Checkpoint(mark.position, mark.arrivals, mark.connection, state)
    log.warning("the checkpoint %s is broken and is passed over", path)
    return None


def withdraw(folder: Path, positions: Sequence[int]) -> None:
    """Delete checkpoints; missing ones are no error."""
    for position in positions:
        _path(folder, position).unlink(missing_ok=True)


def discard_staged(folder: Path) -> None:
    """Delete what was staged and not adopted."""
    for file in folder.glob(f"*{_STAGED}"):
        file.unlink(missing_ok=True)


def forget(folder: Path, before: int) -> None:
    """Delete the checkpoints before a position, and any that were staged there."""
    for file in folder.glob(f"*{_SUFFIX}*"):
        if int(file.name.split(".")[0]) < before:
            file.unlink(missing_ok=True)


def _positions(folder: Path) -> list[int]:
    return sorted(int(file.stem) for file in folder.glob(f"*{_SUFFIX}"))


def _path(folder: Path, position: int, suffix: str = _SUFFIX) -> Path:
    return folder / f"{position:020d}{suffix}"
