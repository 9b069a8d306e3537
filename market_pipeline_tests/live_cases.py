"""The API with its live ticks on a free port, a writer that commits, and clients that listen."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn
from pydantic import SecretStr
from websockets.sync.client import ClientConnection, connect

from market_pipeline.api.app import create_app
from market_pipeline.config import Settings
from market_pipeline.storage import tick_batches, tick_feed
from market_pipeline.storage.database import Database
from market_pipeline.storage.ticks import Batch, TickStore
from market_pipeline_tests.builders import Tick, eventually, fetch, tick_columns
from market_pipeline_tests.stream_cases import prepare

STREAM = "simulator-0"
_PATIENCE_SECONDS = 30.0


@pytest.fixture
def hurried_feed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make writers see within a tenth of a second that somebody listens."""
    monkeypatch.setattr(tick_batches, "_LOOK_SECONDS", 0.05)
    monkeypatch.setattr(tick_feed, "_WRITERS_LOOK_SECONDS", 0.1)


class Api:
    """One API process, in a thread; it can be stopped and started again on the same port."""

    def __init__(self, database: Database, **settings: Any) -> None:
        self.settings = Settings(
            database_url=SecretStr(database.url), broker="simulator", _env_file=None, **settings
        )
        self._socket = socket.socket()
        # Accepted sockets inherit it: a client that does not read is noticed after little.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen(512)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.address = f"ws://127.0.0.1:{self.port}/api/ws/ticks"
        self.start()

    def start(self) -> None:
        config = uvicorn.Config(
            create_app(self.settings),
            log_config=None,
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=1,
        )
        self.server = uvicorn.Server(config)
        twin = self._socket.dup()
        self._thread = threading.Thread(target=self.server.run, kwargs={"sockets": [twin]})
        self._thread.start()
        eventually(lambda: self.server.started, "the API did not start")

    def stop(self) -> None:
        self.server.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive(), "the API did not stop"

    def close(self) -> None:
        self.stop()
        self._socket.close()


@contextlib.contextmanager
def running(database: Database, **settings: Any) -> Iterator[Api]:
    api = Api(database, **settings)
    try:
        yield api
    finally:
        api.close()


class Feed:
    """A stream's writer that commits what it is given."""

    def __init__(self, database: Database, stream: str = STREAM) -> None:
        self.store = TickStore(database.url, stream, "run")
        found = self.store.open()
        self._position, self._arrivals = found.position, found.arrivals
        self._batches: list[Batch] = []

    def commit(self, *ticks: Tick) -> None:
        columns = tick_columns(list(ticks), self._arrivals)
        batch = Batch(self._position, self._position + 1, self._arrivals + len(ticks), columns)
        batch.last_received_at = int(columns["received_at"].max()) * 1000
        self._batches.append(batch)
        self.store.commit(batch)
        self._position, self._arrivals = batch.end, batch.arrivals

    def close(self) -> None:
        self.store.close()

    def recover(self) -> None:
        """Store again what the server has forgotten, as the writer does from the journal."""
        self.store.close()
        position = self.store.open().position
        for batch in self._batches:
            if batch.start >= position:
                self.store.commit(batch)
                self._position, self._arrivals = batch.end, batch.arrivals


class Listener:
    """A client that reads when it is told to."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.seen: list[dict[str, Any]] = []
        self.ticks: list[dict[str, Any]] = []
        self.seq: dict[str, int] = {}
        self.lost = 0

    def ask(self, action: str, **values: Any) -> None:
        self.connection.send(json.dumps({"action": action} | values))

    def receive(self, timeout: float = 20) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self.connection.recv(timeout))
        self.seen.append(message)
        self.seq = message.get("seq", self.seq)
        self.ticks += message.get("ticks", [])
        self.lost += message["lost"] if message["type"] == "ticks" else 0
        return message

    def until(self, kind: str, is_it: Callable[[Any], object] = bool) -> dict[str, Any]:
        """Read up to a message of some type."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            message = self.receive()
            if message["type"] == kind and is_it(message):
                return message
        raise AssertionError(f"no such message {kind} among the last: {self._told()}")

    def _told(self) -> list[dict[str, Any]]:
        return [message for message in self.seen[-20:] if message["type"] != "heartbeat"]

    def prices(self, number: int) -> list[float]:
        """Read until so many ticks have come, and return the prices of all."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while len(self.ticks) < number:
            assert time.monotonic() < deadline, f"{self.ticks}, last {self._told()}"
            self.receive()
        return [tick["last_price"] for tick in self.ticks]

    def subscribe(self, *names: str | int, mode: str = "ltp") -> dict[str, Any]:
        self.ask("subscribe", instruments=list(names), mode=mode)
        return self.until("subscribed")


@pytest.fixture
def api(database: Database, hurried_feed: None) -> Iterator[Api]:
    prepare(database)
    with running(database) as opened:
        yield opened


@pytest.fixture
def feed(database: Database, api: Api) -> Iterator[Feed]:
    with contextlib.closing(Feed(database)) as opened:
        yield opened


@contextlib.contextmanager
def listening(api: Api, **options: Any) -> Iterator[Listener]:
    with connect(api.address, max_size=None, max_queue=1, **options) as connection:
        yield Listener(connection)


def small_socket(api: Api) -> socket.socket:
    """Return a connection that takes little before its client reads."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.connect(("127.0.0.1", api.port))
    return made


def ids(database: Database) -> dict[str, int]:
    return dict(fetch(database, "SELECT symbol, instrument_id FROM instruments"))
