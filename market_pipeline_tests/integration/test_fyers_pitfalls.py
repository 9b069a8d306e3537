"""What is known to go wrong with Fyers' own library does not with us; beside test_fyers_*.py."""

import functools
import importlib.util
import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from pydantic import SecretStr

from market_pipeline.brokers import fyers_socket
from market_pipeline.brokers.fyers import Fyers
from market_pipeline.brokers.fyers_wire import MODE
from market_pipeline.brokers.limits import Limiter, LocalBudgets, RequestKind
from market_pipeline.errors import BrokerUnavailable, RateLimited, WaitInterrupted
from market_pipeline.market import Interval, Mode
from market_pipeline_tests.fyers_line_cases import INFY, MASTERS, NIFTY, Bench
from market_pipeline_tests.fyers_line_cases import bench as bench
from market_pipeline_tests.integration.test_fyers_rest import START, answer, failure, made
from market_pipeline_tests.line_cases import Listening, until
from market_pipeline_tests.rest_cases import HTML, JSON, Peer
from market_pipeline_tests.rest_cases import peer as peer

needs_sdk = pytest.mark.skipif(
    importlib.util.find_spec("fyers_apiv3") is None, reason="fyers-apiv3 is not installed"
)
SECRET = "eyJhbGciOiJI.eyJleHAiOjE3.s3cret"

_LOADED = """
import json, sys, threading
from pydantic import SecretStr
from market_pipeline.brokers.fyers import Fyers
from market_pipeline.errors import BrokerUnavailable
before = sorted(sys.modules)
broker = Fyers("app", lambda: SecretStr("a.b.c"), "http://127.0.0.1:9")
try:
    broker.profile()
except BrokerUnavailable:
    print(json.dumps([before, sorted(sys.modules), threading.active_count()]))
"""
# Of botocore a part is loaded where it is installed, as with what the tests of S3 need.
_UNWANTED = ("boto3", "google.protobuf", "pkg_resources", "websocket")


@needs_sdk
def test_of_the_library_its_client_for_requests_alone_is_loaded_and_not_before_the_first(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-W", "ignore", "-c", _LOADED]
    said = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    before, after, threads = json.loads(said)
    assert not [name for name in before if name.startswith("fyers_apiv3")]
    loaded = {name for name in after if name.startswith("fyers_apiv3")}
    assert "fyers_apiv3.fyersModel" in loaded
    assert not {name for name in loaded if "Websocket" in name}
    assert not {name for name in after if name.startswith(_UNWANTED)}
    assert threads == 1
    assert not list(tmp_path.iterdir())


@needs_sdk
def test_a_login_is_not_waited_for_for_ever(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("market_pipeline.brokers.fyers_client.TIMEOUT", (0.2, 0.2))
    peer.answer.clear()
    with pytest.raises(BrokerUnavailable, match="ReadTimeout"):
        made(peer).exchange_auth_code("once", SecretStr("key"))


@needs_sdk
def test_no_log_holds_a_token_a_secret_or_a_reply(
    peer: Peer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    answer(peer, access_token=SECRET, data={"fy_id": "XA00001"})
    fyers = made(peer)
    fyers.exchange_auth_code("0nce", SecretStr("app s3cret"))
    fyers.profile()
    peer.prepare(502, HTML, f"<html>{SECRET}</html>")
    with pytest.raises(BrokerUnavailable):
        fyers.profile()
    printed = capfd.readouterr()
    for text in (caplog.text, printed.out, printed.err):
        assert not [word for word in ("s3cret", "0nce", "XA00001") if word in text]


@needs_sdk
def test_a_working_directory_that_is_gone_stops_no_request(
    peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(FileNotFoundError):
        os.getcwd()
    answer(peer, data={"fy_id": "XA00001"})
    assert made(peer).profile() == "XA00001"


@needs_sdk
def test_a_name_with_an_ampersand_reaches_the_broker_whole(peer: Peer) -> None:
    fyers, token = made(peer), 10102031
    peer.files["/sym_details/NSE_CM.csv"] += (
        MASTERS["NSE_CM"].splitlines()[1].replace("INFY", "M&M").replace("1594", "2031") + "\n"
    )
    answer(peer, candles=[])
    fyers.candles(token, Interval("1m", 1), START, START)
    assert peer.query["symbol"] == "NSE:M&M-EQ"
    answer(peer, d={"NSE:M&M-EQ": {"ltp": 3000, "bids": [], "ask": []}})
    assert fyers.quotes([token])["last_price"].to_list() == [3000.0]
    assert peer.query["symbol"] == "NSE:M&M-EQ"


@needs_sdk
def test_who_was_refused_does_not_ask_again_before_it_is_time(peer: Peer) -> None:
    ending = threading.Event()
    turns = Limiter(LocalBudgets(), "fyers", "account", stop=ending.is_set)
    made(peer)  # gives it masters
    fyers = Fyers("app", lambda: SecretStr(SECRET), peer.root, limiter=turns)
    peer.prepare(429, JSON, failure(-429))
    peer.headers["Retry-After"] = "60"
    with pytest.raises(RateLimited):
        fyers.profile()
    ending.set()  # the waiting that would take a minute
    for ask in (fyers.profile, lambda: fyers.quotes([INFY]), lambda: fyers.quotes([NIFTY])):
        with pytest.raises(WaitInterrupted):
            ask()
    assert len(peer.seen) == 1


def test_requests_of_all_kinds_draw_from_one_budget() -> None:
    assert Fyers.budgets.keys() == set(RequestKind)
    assert len(set(Fyers.budgets.values())) == 1


@pytest.mark.parametrize("mode", Mode)
def test_whatever_mode_is_wanted_everything_is_asked_for(bench: Bench, mode: Mode) -> None:
    bench.wanted = {INFY: mode}
    listening = bench.listen()
    until(lambda: "frame" in listening.events)
    assert {request.mode for request in bench.peer.of(MODE)} == {"F"}


def test_giving_up_is_an_error_and_not_a_line_on_the_terminal(
    monkeypatch: pytest.MonkeyPatch, bench: Bench, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fyers_socket, "MAX_RETRIES", 1)
    monkeypatch.setattr(fyers_socket, "RETRY_DELAYS", (0.01,))
    before = threading.active_count()
    outcome = bench.listen(root="http://127.0.0.1:9").end()
    assert isinstance(outcome, BrokerUnavailable)
    assert "gave up after 1 attempts" in str(outcome)
    assert capfd.readouterr().out == ""
    assert threading.active_count() <= before


def is_connected_again(listening: Listening, drops: int) -> bool:
    return listening.events.count("connected") > drops


def test_each_drop_is_told_with_its_cause(bench: Bench) -> None:
    listening = bench.listen()
    for drops in (1, 2):
        until(lambda: listening.events[-1:] == ["frame"])
        bench.peer.drop()
        until(functools.partial(is_connected_again, listening, drops))
    lost = [event for event in listening.events if event.startswith("connection lost")]
    assert len(lost) == 2
