"""A network thread of Kite's that does not run is noticed."""

import threading

import pytest

from market_pipeline.brokers import kite, kite_ticker
from market_pipeline.errors import BrokerUnavailable
from market_pipeline_tests.kite_line_cases import Bench
from market_pipeline_tests.kite_line_cases import bench as bench
from market_pipeline_tests.line_cases import until


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
