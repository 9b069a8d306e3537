"""What Kite's adapter does on the wire, against a peer that can misbehave on command."""

import logging
from http import HTTPStatus
from typing import Any

import pytest
from twisted.logger import globalLogPublisher

from market_pipeline.brokers import kite_ticker
from market_pipeline.errors import (
    BrokerUnavailable,
    JournalFull,
    RateLimited,
    RequestRefused,
    TokenExpired,
)
from market_pipeline.market import Mode
from market_pipeline_tests.kite_line_cases import (
    GOLD,
    INFY,
    NIFTY,
    SECRET,
    SUBSCRIBED,
    Bench,
    until,
)
from market_pipeline_tests.kite_line_cases import bench as bench


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
    assert listening.events == ["connected", f"JournalFull: {JournalFull()}"]


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
