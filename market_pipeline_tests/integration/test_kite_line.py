"""What Kite's adapter does on the wire, against a peer that can misbehave on command."""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

import pytest
from pydantic import SecretStr
from twisted.logger import globalLogPublisher
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from market_pipeline.brokers import kite, kite_ticker
from market_pipeline.errors import (
    BrokerUnavailable,
    JournalFull,
    RateLimited,
    RequestRefused,
    TokenExpired,
)
from market_pipeline.market import Mode

INFY, NIFTY, GOLD = 408065, 256265, 13000707
SECRET = "s3cret-access-token"


def until(condition: Callable[[], Any], seconds: float = 8.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "this did not come true in time"
        time.sleep(0.01)


class Peer:
    """A server of one port that notes what it is told on each connection."""

    def __init__(self) -> None:
        self.attempts = 0
        self.told: list[list[dict[str, Any]]] = []
        self.refuse: HTTPStatus | None = None
        self.silent, self.pace = False, 0.05
        self.texts: list[str] = []
        self.admit = threading.Event()
        self.admit.set()
        self.live: set[ServerConnection] = set()

    def greet(self, connection: ServerConnection, request: Request) -> Response | None:
        self.attempts += 1
        self.admit.wait(10)
        return connection.respond(self.refuse, "") if self.refuse else None

    def serve(self, connection: ServerConnection) -> None:
        told: list[dict[str, Any]] = []
        self.told.append(told)
        self.live.add(connection)
        try:
            for text in self.texts:
                connection.send(text)
            while True:
                if not self.silent:
                    connection.send(b"\x00")
                try:
                    told.append(json.loads(connection.recv(timeout=self.pace)))
                except TimeoutError:
                    continue
        except ConnectionClosed:
            self.live.discard(connection)

    def drop(self) -> None:
        for connection in list(self.live):
            connection.close_socket()


class Listening:
    """Kite.listen in a thread of its own, and everything its sink is told."""

    def __init__(self, broker: kite.Kite, wanted: Callable[[], dict[int, Mode]]) -> None:
        self.events: list[str] = []
        self.texts: list[str] = []
        self.failing: Exception | None = None
        self.slowness, self.frames = 0.0, 0
        self.outcome: BaseException | None = None
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(broker, wanted))
        self.thread.start()

    def _run(self, broker: kite.Kite, wanted: Callable[[], dict[int, Mode]]) -> None:
        try:
            broker.listen(wanted, self, self.stop)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test looks at it
            self.outcome = error

    def connected(self) -> None:
        self.events.append("connected")

    def frame(self, payload: bytes) -> None:
        if self.failing:
            raise self.failing
        time.sleep(self.slowness)
        self.frames += 1
        if self.events[-1] != "frame":
            self.events.append("frame")

    def text(self, message: str) -> None:
        self.texts.append(message)

    def disconnected(self, cause: str) -> None:
        self.events.append(cause)

    def end(self) -> BaseException | None:
        self.thread.join(10)
        assert not self.thread.is_alive()
        return self.outcome


class Bench:
    """The peer, the adapter and what listens between them."""

    def __init__(self, peer: Peer, port: int) -> None:
        self.peer = peer
        self.root = f"ws://127.0.0.1:{port}"
        self.wanted = {INFY: Mode.FULL, NIFTY: Mode.FULL}
        self.started: list[Listening] = []

    def listen(self, frame_timeout: float = 5.0, root: str | None = None) -> Listening:
        root = root or self.root
        broker = kite.Kite("key", lambda: SecretStr(SECRET), None, root, frame_timeout)
        self.started.append(Listening(broker, lambda: self.wanted))
        return self.started[-1]


@pytest.fixture
def bench() -> Iterator[Bench]:
    peer = Peer()
    with serve(
        peer.serve, "127.0.0.1", 0, process_request=peer.greet, compression=None, ping_interval=None
    ) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        bench = Bench(peer, server.socket.getsockname()[1])
        yield bench
        for listening in bench.started:
            listening.stop.set()
            listening.end()
        server.shutdown()
        thread.join()


SUBSCRIBED = [
    {"a": "subscribe", "v": [INFY, NIFTY]},
    {"a": "mode", "v": ["full", [INFY, NIFTY]]},
]


def test_everything_wanted_is_subscribed_once_on_connecting(bench: Bench) -> None:
    listening = bench.listen()
    until(lambda: "frame" in listening.events and bench.peer.told[0])
    listening.stop.set()
    assert listening.end() is None
    assert bench.peer.told == [SUBSCRIBED]


def test_a_change_of_what_is_wanted_is_applied_to_the_open_connection(bench: Bench) -> None:
    bench.listen()
    until(lambda: bench.peer.told and len(bench.peer.told[0]) == 2)
    bench.wanted = {INFY: Mode.LTP, GOLD: Mode.FULL}
    until(lambda: len(bench.peer.told[0]) == 6)
    assert bench.peer.told[0][2:] == [
        {"a": "unsubscribe", "v": [NIFTY]},
        {"a": "subscribe", "v": [GOLD]},
        {"a": "mode", "v": ["ltp", [INFY]]},
        {"a": "mode", "v": ["full", [GOLD]]},
    ]


def test_a_dropped_connection_comes_back_with_every_subscription_once(bench: Bench) -> None:
    listening = bench.listen()
    until(lambda: "frame" in listening.events and len(bench.peer.told[0]) == 2)
    bench.peer.drop()
    until(lambda: listening.events.count("connected") == 2)
    until(lambda: listening.events[-1] == "frame" and len(bench.peer.told[1]) >= 2)
    listening.stop.set()
    assert listening.end() is None
    assert bench.peer.told == [SUBSCRIBED, SUBSCRIBED]
    assert listening.events[2].startswith("connection lost: ")
    assert listening.events[3:] == ["connected", "frame", "stopped"]


def test_a_connection_that_falls_silent_is_dropped_and_made_again(bench: Bench) -> None:
    listening = bench.listen(frame_timeout=0.5)
    until(lambda: "frame" in listening.events)
    bench.peer.silent = True
    until(lambda: "no frame for 0.5 s" in listening.events)
    bench.peer.silent = False
    until(lambda: listening.events[-2:] == ["connected", "frame"])
    assert listening.events.count("no frame for 0.5 s") == 1


def test_a_slow_sink_is_not_taken_for_a_silent_connection(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kite, "_POLL_SECONDS", 0.1)
    bench.peer.pace = 0.2
    listening = bench.listen(frame_timeout=0.3)
    listening.slowness = 0.4
    until(lambda: listening.frames == 4)
    assert listening.events == ["connected", "frame"]


def test_a_refused_token_ends_the_listening_after_one_attempt(bench: Bench) -> None:
    bench.peer.refuse = HTTPStatus.FORBIDDEN
    listening = bench.listen()
    assert isinstance(listening.end(), TokenExpired)
    assert bench.peer.attempts == 1
    assert listening.events == []


def test_too_many_connections_are_waited_out_before_giving_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kite_ticker, "MAX_REFUSALS", 2)
    monkeypatch.setattr(kite_ticker, "REFUSED_DELAY", 0.2)
    bench.peer.refuse = HTTPStatus.TOO_MANY_REQUESTS
    assert isinstance(bench.listen().end(), RateLimited)
    assert bench.peer.attempts == 2


def test_a_peer_that_never_answers_is_given_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kite_ticker, "MAX_RETRIES", 1)
    assert isinstance(bench.listen(root="ws://127.0.0.1:9").end(), BrokerUnavailable)


def test_stop_returns_at_once_and_is_the_last_thing_reported(bench: Bench) -> None:
    listening = bench.listen()
    until(lambda: "frame" in listening.events)
    listening.stop.set()
    listening.thread.join(3)
    assert listening.events == ["connected", "frame", "stopped"]


def test_stop_during_the_handshake_leaves_no_connection_behind(bench: Bench) -> None:
    bench.peer.admit.clear()
    listening = bench.listen()
    until(lambda: bench.peer.attempts == 1)
    listening.stop.set()
    assert listening.end() is None
    bench.peer.admit.set()
    until(lambda: len(bench.peer.told) == 1 and not bench.peer.live)
    assert bench.peer.told == [[]]
    assert listening.events == []


def test_an_exception_of_the_sink_ends_the_listening_and_the_connection(bench: Bench) -> None:
    listening = bench.listen()
    listening.failing = JournalFull()
    assert listening.end() is listening.failing
    until(lambda: not bench.peer.live)
    assert bench.peer.attempts == 1
    assert listening.events == ["connected", "ended by JournalFull"]


def test_an_exception_of_wanted_ends_the_listening_and_the_connection(bench: Bench) -> None:
    listening = bench.listen()
    until(lambda: "frame" in listening.events)
    bench.wanted = dict.fromkeys(range(3001), Mode.FULL)
    assert isinstance(listening.end(), RequestRefused)
    until(lambda: not bench.peer.live)


def test_text_of_any_kind_is_handed_on_and_harms_nothing(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    odd = ["[1]", "no json", '"x"', '{"type": "app_code"}', '{"type": "error", "data": "too many"}']
    bench.peer.texts = odd
    listening = bench.listen()
    until(lambda: listening.texts == odd and listening.events == ["connected", "frame"])
    assert "too many" in caplog.text


def test_the_token_is_in_no_log(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []
    twisted_log: Any = globalLogPublisher  # a plain function will do for an observer
    twisted_log.addObserver(lambda event: seen.append(repr(event)))
    with caplog.at_level(logging.DEBUG):
        listening = bench.listen()
        until(lambda: "frame" in listening.events)
        bench.peer.drop()
        until(lambda: listening.events.count("connected") == 2)
        bench.peer.refuse = HTTPStatus.FORBIDDEN
        bench.peer.drop()
        assert SECRET not in str(listening.end())
    ours = [r.getMessage() for r in caplog.records if not r.name.startswith("websockets")]
    assert SECRET not in "".join([*ours, *seen])  # the peer is allowed to log what it is sent
