"""A stream of two brokers goes on while one of them does, whatever becomes of the other."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any, cast

import pytest

from market_pipeline.brokers.base import Broker
from market_pipeline.errors import RequestRefused
from market_pipeline.streaming import listener
from market_pipeline.streaming.heartbeat import State
from market_pipeline.streaming.journal import Journal
from market_pipeline.streaming.listening import Listening
from market_pipeline.streaming.records import Record
from market_pipeline.streaming.sink import JournalSink
from market_pipeline.streaming.wanted import Wanted
from market_pipeline_tests.builders import eventually
from market_pipeline_tests.journals import everything

NAMES = ["kite", "fyers"]


class Line:
    """Stays connected, or is refused for good."""

    def __init__(self, refusal: str | None = None) -> None:
        self.refusal = refusal
        self.tries = 0

    def token_fingerprint(self) -> str:
        return "token"

    def listen(self, wanted: object, sink: JournalSink, stop: Event, patience: object) -> None:
        self.tries += 1
        if self.refusal:
            raise RequestRefused(self.refusal)
        sink.connected()
        while not stop.wait(0.01):
            if self.refusal:
                sink.disconnected("cut")
                raise RequestRefused(self.refusal)


class Wants:
    def modes(self, feed: int) -> dict[int, str]:
        return {}

    def patience(self) -> float:
        return 1.0


Start = Callable[..., tuple[Listening, list["Future[None]"]]]


def noted(folder: Path) -> list[tuple[str, int, str]]:
    """Return kind, feed and text of all records."""
    records = [each for each in everything(folder) if isinstance(each, Record)]
    return [(each.kind.name, each.feed, each.payload.decode()) for each in records]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    monkeypatch.setattr(listener, "_FIRST_DELAY_SECONDS", 0.05)
    monkeypatch.setattr(listener, "_FAILED_POLL_SECONDS", 0.01)
    made: list[Listening] = []
    with Journal(tmp_path, 10_000_000) as journal, ThreadPoolExecutor(2) as pool:

        def begin(*lines: Line, is_late: bool = False) -> tuple[Listening, list[Future[None]]]:
            brokers = [cast(Broker, line) for line in lines]
            opened = Listening(brokers, NAMES[: len(lines)], journal, cast(Wanted, Wants()))
            made.append(opened)
            return opened, opened.start(pool, "run", is_late)

        yield begin
        made[0].end()


def states(listening: Listening) -> dict[str, Any]:
    return {report.broker: report.state for report in listening.reports()}


@pytest.mark.parametrize("failing", [0, 1])
def test_what_one_broker_refuses_for_good_does_not_end_the_other(
    start: Start, failing: int
) -> None:
    lines = [Line(), Line()]
    lines[failing].refusal = "too many instruments"
    listening, jobs = start(*lines)
    eventually(lambda: lines[failing].tries > 2, "the refused line was not tried again")
    assert not any(job.done() for job in jobs)
    assert listening.state[0] is State.STREAMING
    assert "too many instruments" in listening.state[1]
    assert states(listening)[NAMES[1 - failing]] == "streaming"


def test_a_line_that_was_refused_comes_back_by_itself(start: Start) -> None:
    lines = [Line("too many instruments"), Line()]
    listening, _ = start(*lines)
    eventually(lambda: lines[0].tries > 1, "the refused line was not tried again")
    lines[0].refusal = None
    eventually(lambda: set(states(listening).values()) == {"streaming"}, "it does not come back")


def test_a_stream_that_still_connects_somewhere_has_not_failed(start: Start) -> None:
    lines = [Line("no"), Line()]
    listening, _ = start(*lines)
    eventually(lambda: states(listening) == {"kite": "failed", "fyers": "streaming"}, "not yet")
    listening._listeners[1].sink.is_connected = False
    assert listening.state[0] is State.CONNECTING


def test_it_ends_with_its_error_once_no_broker_is_left(start: Start) -> None:
    lines = [Line("too many instruments"), Line()]
    _, jobs = start(*lines)
    eventually(lambda: lines[0].tries > 1, "the refused line was not tried again")
    lines[1].refusal = "HTTP 403"
    eventually(lambda: all(job.done() for job in jobs), "the stream goes on without any line")
    assert {str(job.exception()) for job in jobs} == {"too many instruments", "HTTP 403"}


def test_one_broker_alone_ends_at_once(start: Start) -> None:
    line = Line("too many instruments")
    _, (job,) = start(line)
    assert isinstance(job.exception(10), RequestRefused)
    assert line.tries == 1


def test_who_begins_late_says_so_of_each_broker_before_it_begins(
    start: Start, tmp_path: Path
) -> None:
    start(Line(), Line(), is_late=True)
    eventually(lambda: len(noted(tmp_path)) >= 5, "the lines were not connected")
    late = [("DISCONNECTED", feed, "the stream did not run") for feed in (0, 1)]
    assert noted(tmp_path)[:3] == [*late, ("STARTED", 0, "run")]


def test_a_line_that_does_not_come_is_noted_once(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "_ABSENT_SECONDS", 0.0)
    lines = [Line("HTTP 503"), Line()]
    listening, _ = start(*lines)
    eventually(lambda: states(listening) == {"kite": "failed", "fyers": "streaming"}, "not yet")
    for _ in range(3):
        listening.note_absence()
    absent = [each for each in noted(tmp_path) if each[0] == "DISCONNECTED"]
    assert absent == [("DISCONNECTED", 0, "not connected yet: failed RequestRefused: HTTP 503")]


def test_a_line_is_given_some_time_to_come(start: Start, tmp_path: Path) -> None:
    listening, _ = start(Line("HTTP 503"), Line())
    eventually(lambda: states(listening) == {"kite": "failed", "fyers": "streaming"}, "not yet")
    listening.note_absence()
    assert "DISCONNECTED" not in [kind for kind, *_ in noted(tmp_path)]
