"""How other processes find the embedded PostgreSQL: the file server.json."""

import contextlib
import json
import os
import random
import socket
from pathlib import Path
from typing import NamedTuple

from market_pipeline.errors import EmbeddedServerError

HOST = "127.0.0.1"
FIRST_PORT = 15432
# Below the ports that systems hand out for outgoing connections: a client that retries while
# the server is down could otherwise be connected to itself and keep the port.
_OTHER_PORTS = range(FIRST_PORT + 1, 32768)
_FILE = "server.json"


class Connection(NamedTuple):
    host: str
    port: int
    user: str
    password: str

    def url(self, database: str) -> str:
        return f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/{database}"


def read(folder: Path) -> Connection | None:
    """Return what was written last; None when there is nothing usable."""
    try:
        return Connection(**json.loads((folder / _FILE).read_text()))
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
        return None


def write(folder: Path, connection: Connection) -> None:
    """Replace the file in one step: nobody but its owner reads it, and nobody half of it."""
    new = folder / f"{_FILE}.new"
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(connection._asdict(), file)
        file.flush()
        os.fsync(file.fileno())
    if os.geteuid() == 0:  # Root may look after the server of an ordinary user.
        os.chown(new, folder.stat().st_uid, folder.stat().st_gid)
    os.replace(new, folder / _FILE)


def forget(folder: Path) -> None:
    (folder / _FILE).unlink(missing_ok=True)


def on_free_port(connection: Connection) -> Connection:
    """Return the same connection, on another port if its own is taken by another program."""
    for port in [connection.port, *random.sample(_OTHER_PORTS, 100)]:
        with socket.socket() as candidate:
            # As PostgreSQL does it: connections that were just closed do not count.
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                candidate.bind((connection.host, port))
                return connection._replace(port=port)
    raise EmbeddedServerError("No free port was found for the embedded PostgreSQL")
