"""What listens to a broker that can misbehave on command, whichever broker it is."""

import os
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import pytest

from market_pipeline.brokers.base import Broker
from market_pipeline.market import Mode

SECRET = "s3cret-access-token"


class StopsWhenConnected:
    """A sink that stops the listening as soon as a connection is established."""

    def __init__(self) -> None:
        self.stop = threading.Event()

    def connected(self) -> None:
        self.stop.set()

    def frame(self, payload: bytes) -> None: ...

    def text(self, message: str) -> None: ...

    def disconnected(self, cause: str) -> None: ...


def until(condition: Callable[[], Any], seconds: float = 8.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "this did not come true in time"
        time.sleep(0.01)


def descriptors() -> int:
    """Count what this process has open, where that can be told."""
    return len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0


class Listening:
    """Broker.listen in a thread of its own, and everything its sink is told."""

    def __init__(
        self, broker: Broker, wanted: Callable[[], dict[int, Mode]], patience: float
    ) -> None:
        self.patience = patience
        self.events: list[str] = []
        self.texts: list[str] = []
        self.failing: Exception | None = None
        self.slowness, self.frames = 0.0, 0
        self.outcome: BaseException | None = None
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(broker, wanted))
        self.thread.start()

    def _run(self, broker: Broker, wanted: Callable[[], dict[int, Mode]]) -> None:
        try:
            broker.listen(wanted, self, self.stop, lambda: self.patience)
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


class Peer(ABC):
    """A server of one port that notes what it is told on each connection."""

    def __init__(self) -> None:
        self.attempts = 0
        self.refuse: HTTPStatus | None = None
        self.silent, self.pace = False, 0.05
        self.admit = threading.Event()
        self.admit.set()
        self.live: set[Any] = set()

    def drop(self) -> None:
        for connection in list(self.live):
            connection.close_socket()

    @property
    @abstractmethod
    def subscribed(self) -> list[list[int]]:
        """Return the tokens that were subscribed on each connection, as often as they were."""

    @property
    @abstractmethod
    def unsubscribed(self) -> list[list[int]]: ...

    @abstractmethod
    def refuse_tokens(self) -> None: ...


class Bench(ABC):
    """A peer, the adapter and what listens between them."""

    tokens: tuple[int, int, int]
    peer: Peer

    def __init__(self, root: str) -> None:
        self.root = root
        self.wanted = dict.fromkeys(self.tokens[:2], Mode.FULL)
        self.started: list[Listening] = []

    def listen(self, patience: float = 5.0, root: str | None = None) -> Listening:
        broker = self.broker(root or self.root)
        self.started.append(Listening(broker, lambda: self.wanted, patience))
        return self.started[-1]

    def end(self) -> None:
        for listening in self.started:
            listening.stop.set()
            listening.end()

    @abstractmethod
    def broker(self, root: str) -> Broker: ...

    @abstractmethod
    def hurry(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let the adapter give up after one attempt more, and look for silence all the time."""
