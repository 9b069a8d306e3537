"""What every broker's adapter does on the wire, against a peer that can misbehave on command."""

import logging
from collections.abc import Iterator

import pytest

from market_pipeline.errors import BrokerUnavailable, JournalFull, RequestRefused, TokenExpired
from market_pipeline.market import Mode
from market_pipeline_tests import fyers_line_cases, kite_line_cases
from market_pipeline_tests.line_cases import SECRET, Bench, until


@pytest.fixture(params=[kite_line_cases, fyers_line_cases], ids=["kite", "fyers"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with request.param.running() as bench:
        yield bench


def test_everything_wanted_is_subscribed_once_on_connecting(bench: Bench) -> None:
    listening = bench.listen()
    until(lambda: "frame" in listening.events and bench.peer.subscribed[0])
    listening.stop.set()
    assert listening.end() is None
    assert [sorted(tokens) for tokens in bench.peer.subscribed] == [sorted(bench.wanted)]
    assert bench.peer.unsubscribed == [[]]


def test_a_change_of_what_is_wanted_is_applied_to_the_open_connection(bench: Bench) -> None:
    first, second, third = bench.tokens
    listening = bench.listen()
    until(lambda: "frame" in listening.events and bench.peer.subscribed[0])
    bench.wanted = dict.fromkeys((first, third), Mode.FULL)
    until(lambda: bench.peer.subscribed[0][2:] == [third])
    until(lambda: bench.peer.unsubscribed == [[second]])
    assert listening.events == ["connected", "frame"]


def test_a_dropped_connection_comes_back_with_every_subscription_once(bench: Bench) -> None:
    listening = bench.listen()
    until(lambda: "frame" in listening.events and len(bench.peer.subscribed[0]) == 2)
    bench.peer.drop()
    until(lambda: listening.events.count("connected") == 2)
    until(lambda: listening.events[-1] == "frame" and len(bench.peer.subscribed[1]) == 2)
    listening.stop.set()
    assert listening.end() is None
    assert [sorted(tokens) for tokens in bench.peer.subscribed] == [sorted(bench.wanted)] * 2
    assert listening.events[2].startswith("connection lost: ")
    assert listening.events[3:] == ["connected", "frame", "stopped"]


def test_a_refused_token_ends_the_listening_after_one_attempt(bench: Bench) -> None:
    bench.peer.refuse_tokens()
    listening = bench.listen()
    assert isinstance(listening.end(), TokenExpired)
    assert bench.peer.attempts == 1
    assert listening.events == []


def test_a_peer_that_never_answers_is_given_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.hurry(monkeypatch)
    nowhere = f"{bench.root.split(':')[0]}://127.0.0.1:9"
    assert isinstance(bench.listen(root=nowhere).end(), BrokerUnavailable)


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
    until(lambda: not bench.peer.live)
    assert not any(bench.peer.subscribed)
    assert listening.events == []


def test_an_exception_of_the_sink_ends_the_listening_and_the_connection(bench: Bench) -> None:
    listening = bench.listen()
    listening.failing = JournalFull()
    assert listening.end() is listening.failing
    until(lambda: not bench.peer.live)
    assert bench.peer.attempts == 1
    assert listening.events == ["connected", f"JournalFull: {JournalFull()}"]


def test_an_exception_of_wanted_ends_the_listening_and_the_connection(bench: Bench) -> None:
    listening = bench.listen()
    until(lambda: "frame" in listening.events)
    bench.wanted = dict.fromkeys(range(5001), Mode.FULL)
    assert isinstance(listening.end(), RequestRefused)
    until(lambda: not bench.peer.live)


def test_a_connection_that_falls_silent_is_dropped_and_made_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.hurry(monkeypatch)
    listening = bench.listen(patience=0.5)
    until(lambda: "frame" in listening.events)
    bench.peer.silent = True
    until(lambda: "no frame for 0.5 s" in listening.events)
    bench.peer.silent = False
    until(lambda: listening.events[-2:] == ["connected", "frame"])


def test_a_slow_sink_is_not_taken_for_a_silent_connection(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.hurry(monkeypatch)
    bench.peer.pace = 0.2
    listening = bench.listen(patience=0.3)
    listening.slowness = 0.4
    until(lambda: listening.frames >= 4)
    assert listening.events == ["connected", "frame"]


def test_a_silence_within_the_patience_of_the_hour_is_borne(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.hurry(monkeypatch)
    listening = bench.listen(patience=60)  # as outside sessions
    until(lambda: "frame" in listening.events)
    bench.peer.silent = True
    listening.patience = 0.5  # the session opens
    until(lambda: "no frame for 0.5 s" in listening.events)


def test_what_gives_access_is_in_no_log(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        listening = bench.listen()
        until(lambda: "frame" in listening.events)
        bench.peer.drop()
        until(lambda: listening.events.count("connected") == 2 and listening.events[-1] == "frame")
        bench.peer.refuse_tokens()
        bench.peer.drop()
        assert SECRET not in str(listening.end())
    ours = [r.getMessage() for r in caplog.records if not r.name.startswith("websockets")]
    assert SECRET not in "".join(ours)  # the peer is allowed to log what it is sent
