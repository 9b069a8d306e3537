"""What Kite's adapter alone does on the wire; see test_lines.py for what every broker's does."""

import logging
from http import HTTPStatus
from typing import Any

import pytest
from twisted.logger import globalLogPublisher

from market_pipeline.brokers import kite_ticker
from market_pipeline.errors import RateLimited
from market_pipeline.market import Mode
from market_pipeline_tests.kite_line_cases import (
    GOLD,
    INFY,
    NIFTY,
    SUBSCRIBED,
    Bench,
)
from market_pipeline_tests.kite_line_cases import bench as bench
from market_pipeline_tests.line_cases import SECRET, until


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


def test_too_many_connections_are_waited_out_before_giving_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kite_ticker, "MAX_REFUSALS", 2)
    monkeypatch.setattr(kite_ticker, "REFUSED_DELAY", 0.2)
    bench.peer.refuse = HTTPStatus.TOO_MANY_REQUESTS
    assert isinstance(bench.listen().end(), RateLimited)
    assert bench.peer.attempts == 2


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
        until(lambda: listening.events.count("frame") == 2)  # so that the peer can drop it
        bench.peer.refuse = HTTPStatus.FORBIDDEN
        bench.peer.drop()
        assert SECRET not in str(listening.end())
    ours = [r.getMessage() for r in caplog.records if not r.name.startswith("websockets")]
    assert SECRET not in "".join([*ours, *seen])  # the peer is allowed to log what it is sent
