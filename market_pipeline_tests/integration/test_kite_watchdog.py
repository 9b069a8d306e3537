"""A connection that is open and dead is noticed, and so is a network thread that does not run."""

import threading

import pytest

from market_pipeline.brokers import kite, kite_ticker
from market_pipeline.errors import BrokerUnavailable
from market_pipeline_tests.kite_line_cases import Bench, until
from market_pipeline_tests.kite_line_cases import bench as bench


def test_a_connection_that_falls_silent_is_dropped_and_made_again(bench: Bench) -> None:
    listening = bench.listen(patience=0.5)
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
    listening = bench.listen(patience=0.3)
    listening.slowness = 0.4
    until(lambda: listening.frames == 4)
    assert listening.events == ["connected", "frame"]


def test_a_silence_within_the_patience_of_the_hour_is_borne(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kite, "_POLL_SECONDS", 0.05)
    listening = bench.listen(patience=60)  # as outside sessions
    until(lambda: "frame" in listening.events)
    bench.peer.silent = True
    listening.patience = 0.5  # the session opens
    until(lambda: "no frame for 0.5 s" in listening.events)


def test_a_network_thread_that_is_stuck_ends_the_listening(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kite, "_POLL_SECONDS", 0.05)
    monkeypatch.setattr(kite_ticker, "_STUCK_SECONDS", 0.5)
    monkeypatch.setattr(kite_ticker, "_CLOSE_SECONDS", 0.2)
    listening = bench.listen()
    until(lambda: "frame" in listening.events)
    release = threading.Event()
    kite_ticker.reactor.callFromThread(release.wait, 10)
    outcome = listening.end()
    release.set()
    assert isinstance(outcome, BrokerUnavailable)
    assert "stuck" in str(outcome)
