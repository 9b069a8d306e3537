"""The ledger of every packet that was sent, to whom and when."""

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from market_pipeline.errors import ConfigurationError
from market_pipeline.market import PACKET_COLUMNS, Columns

RECORD = np.dtype(
    [
        ("connection", "<u4"),
        ("number", "<u8"),  # of the packet on its connection, from 0
        ("sent_at", "<i8"),  # nanoseconds since 1970 by this machine's clock
        ("damaged", "?"),  # its bytes were sent in a way that nobody can read
        *((name, f"<{kind}") for name, kind in PACKET_COLUMNS.items()),
    ]
)
"""One packet sent, its values as the wire carries them."""

_PACKETS = "packets.bin"
_CONNECTIONS = "connections.jsonl"
_APPEND = os.O_CREAT | os.O_RDWR | os.O_APPEND
_CONNECTION_SCHEMA = {
    "connection": pl.UInt32(),
    "opened_at": pl.Int64(),
    "closed_at": pl.Int64(),
    "cause": pl.String(),
}


class Dispatch:
    """Appends to the ledger in a folder, one system call for each frame.

    Everything recorded outlives `kill -9`, but for a record that the kill cut short: readers
    ignore it and the next Dispatch cuts it off. Sent means handed to the line: what a line still
    held when it was cut is recorded and never arrives. After a kill, connections stay open in
    the ledger for good.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._packets = os.open(folder / _PACKETS, _APPEND, 0o644)
        self._connections = os.open(folder / _CONNECTIONS, _APPEND, 0o644)
        size = os.fstat(self._packets).st_size
        os.ftruncate(self._packets, size - size % RECORD.itemsize)
        lines = _whole_lines(folder)
        os.ftruncate(self._connections, len(lines))
        self._latest = max((event["connection"] for event in _events(lines)), default=0)
        self._numbers: dict[int, int] = {}

    def opened(self) -> int:
        """Record a new connection and return its id, which no other in the folder has."""
        self._latest += 1
        self._numbers[self._latest] = 0
        self._note(self._latest, "opened")
        return self._latest

    def sent(
        self, connection: int, packets: Columns, damaged: bool | NDArray[np.bool_] = False
    ) -> None:
        """Record packets, as `kite_wire.carried` gives them, in the order of their bytes."""
        records = np.empty(len(packets["token"]), RECORD)
        first = self._numbers[connection]
        self._numbers[connection] = first + len(records)
        records["connection"] = connection
        records["number"] = np.arange(first, first + len(records))
        records["sent_at"] = time.time_ns()
        records["damaged"] = damaged
        for name in PACKET_COLUMNS:
            records[name] = packets[name]
        _write(self._packets, records.tobytes())

    def closed(self, connection: int, cause: str) -> None:
        """Record the end of a connection."""
        del self._numbers[connection]
        self._note(connection, "closed", cause=cause)

    def close(self) -> None:
        """Let go of the files."""
        os.close(self._packets)
        os.close(self._connections)

    def _note(self, connection: int, event: str, **more: str) -> None:
        line = {"connection": connection, "event": event, "at": time.time_ns(), **more}
        _write(self._connections, json.dumps(line).encode() + b"\n")


def read_packets(folder: Path) -> pl.DataFrame:
    """Read all packets of a ledger, in the order they were sent in; columns as in RECORD.

    Raises:
        ConfigurationError: the folder has no ledger.
    """
    _require_ledger(folder)
    path = folder / _PACKETS
    records = np.fromfile(path, RECORD, path.stat().st_size // RECORD.itemsize)
    return pl.DataFrame({name: np.ascontiguousarray(records[name]) for name in RECORD.names or ()})


def read_connections(folder: Path) -> pl.DataFrame:
    """Read all connections of a ledger; `closed_at` and `cause` are null while one is open.

    Raises:
        ConfigurationError: the folder has no ledger.
    """
    _require_ledger(folder)
    rows: dict[int, dict[str, Any]] = {}
    for event in _events(_whole_lines(folder)):
        row = rows.setdefault(event["connection"], {"connection": event["connection"]})
        row[f"{event['event']}_at"] = event["at"]
        row["cause"] = event.get("cause")
    return pl.DataFrame(list(rows.values()), _CONNECTION_SCHEMA)


def _require_ledger(folder: Path) -> None:
    missing = [name for name in (_PACKETS, _CONNECTIONS) if not (folder / name).is_file()]
    if missing:
        raise ConfigurationError(
            f"{folder} has no ledger, {' and '.join(missing)} is missing: name the folder that "
            "the simulator was given as --ledger"
        )


def _whole_lines(folder: Path) -> bytes:
    text = (folder / _CONNECTIONS).read_bytes()
    return text[: text.rfind(b"\n") + 1]


def _events(lines: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.splitlines()]


def _write(file: int, content: bytes) -> None:
    """Write all of it: a disk that is nearly full takes a part and refuses the rest."""
    left = memoryview(content)
    while left:
        left = left[os.write(file, left) :]
