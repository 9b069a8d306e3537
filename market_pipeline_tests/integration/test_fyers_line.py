"""What Fyers' adapter alone does on the wire; see test_lines.py for what every broker's does."""

import importlib.util
import threading
import time
from http import HTTPStatus
from pathlib import Path

import pytest

from market_pipeline.brokers import fyers_connection, fyers_files, fyers_requests, fyers_socket
from market_pipeline.brokers.fyers_layout import frame_of
from market_pipeline.brokers.fyers_wire import (
    ACK,
    AUTH,
    CUSTOM,
    MODE,
    PING,
    SUBSCRIBE,
    custom_message,
    reply,
)
from market_pipeline.errors import (
    BrokerError,
    BrokerUnavailable,
    RateLimited,
    RequestRefused,
    TokenExpired,
)
from market_pipeline.market import Mode
from market_pipeline_tests.fyers_line_cases import INFY, MASTERS, NIFTY, TOPICS, Bench, jwt
from market_pipeline_tests.fyers_line_cases import bench as bench
from market_pipeline_tests.line_cases import SECRET, descriptors, until

CHANNEL = 11


def test_the_login_comes_first_then_full_mode_and_the_subscription(bench: Bench) -> None:
    listening = bench.listen()
    until(lambda: "frame" in listening.events)
    login, mode, subscription = bench.peer.told[0][:3]
    assert (login.kind, login.key) == (AUTH, SECRET)
    assert (mode.kind, mode.mode, mode.channel) == (MODE, "F", CHANNEL)
    assert (subscription.kind, subscription.channel) == (SUBSCRIBE, CHANNEL)
    assert set(subscription.topics) == {TOPICS[INFY], TOPICS[NIFTY]}


def test_the_upgrade_has_no_authorization_which_would_silence_the_login(bench: Bench) -> None:
    listening = bench.listen()
    until(lambda: "frame" in listening.events)
    assert "authorization" not in {name.lower() for name in bench.peer.headers[0]}


def test_topics_are_made_without_asking_for_tokens(bench: Bench) -> None:
    listening = bench.listen()
    until(lambda: "frame" in listening.events)
    assert set(bench.peer.asked) == {
        "/sym_details/NSE_CM.csv",
        "/sym_details/index_hsm_mapping.json",
    }


def test_a_handshake_of_more_than_two_seconds_does_not_lose_the_subscription(bench: Bench) -> None:
    bench.peer.admit.clear()
    listening = bench.listen()
    until(lambda: bench.peer.attempts == 1)
    time.sleep(2.2)  # the SDK waits two
    bench.peer.admit.set()
    until(lambda: "frame" in listening.events)
    assert listening.events == ["connected", "frame"]
    assert bench.peer.attempts == 1


def test_a_drop_costs_less_than_the_seven_seconds_of_the_sdk(bench: Bench) -> None:
    listening = bench.listen()
    until(lambda: "frame" in listening.events)
    bench.peer.drop()
    until(lambda: listening.events[-2:] == ["connected", "frame"], 5)


def test_a_peer_that_is_not_there_is_looked_for_at_growing_intervals(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(fyers_socket, "MAX_RETRIES", 3)
    monkeypatch.setattr(fyers_socket, "RETRY_DELAYS", (0.01, 0.02))
    outcome = bench.listen(root="http://127.0.0.1:9").end()
    assert isinstance(outcome, BrokerUnavailable)
    delays = [r.args[1] for r in caplog.records if isinstance(r.args, tuple) and len(r.args) == 2]
    assert delays == [0.01, 0.02, 0.02]


@pytest.mark.parametrize(
    ("status", "expected"),
    [(HTTPStatus.TOO_MANY_REQUESTS, RateLimited), (HTTPStatus.FORBIDDEN, BrokerUnavailable)],
)
def test_a_refused_upgrade_is_waited_out_before_giving_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, status: HTTPStatus, expected: type[BrokerError]
) -> None:
    monkeypatch.setattr(fyers_socket, "MAX_REFUSALS", 2)
    monkeypatch.setattr(fyers_socket, "REFUSED_DELAY", 0.1)
    bench.peer.refuse = status
    outcome = bench.listen().end()
    assert type(outcome) is expected
    assert bench.peer.attempts == 2


def test_a_login_that_is_not_answered_is_tried_again_and_was_no_connection(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fyers_connection, "LOGIN_SECONDS", 0.3)
    bench.peer.silent = True
    listening = bench.listen()
    until(lambda: bench.peer.attempts == 2)
    assert listening.events == []
    bench.peer.silent = False
    until(lambda: listening.events == ["connected", "frame"])


def test_an_answer_that_cannot_be_read_is_passed_over(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.peer.answers[SUBSCRIBE] = bytes.fromhex("0009 04 01 01 00ff 4b")
    listening = bench.listen()
    until(lambda: "frame" in listening.events)
    assert "cannot be read" in caplog.text


@pytest.mark.parametrize(
    ("expires_in", "key", "said"),
    [(-5, SECRET, "expired at"), (3600, None, "login fyers")],
    ids=["expired", "without a key"],
)
def test_a_token_that_cannot_be_good_is_not_tried(
    bench: Bench, expires_in: float, key: str | None, said: str
) -> None:
    bench.access_token = jwt(expires_in, key)
    outcome = bench.listen().end()
    assert isinstance(outcome, TokenExpired)
    assert said in str(outcome)
    assert bench.peer.attempts == 0


def test_a_new_token_is_used_at_the_next_connection(bench: Bench) -> None:
    listening = bench.listen()
    until(lambda: "frame" in listening.events)
    bench.access_token = f"XC12345-100:{jwt(hsm_key='another')}"
    bench.peer.drop()
    until(lambda: len(bench.peer.told) == 2 and bench.peer.of(AUTH))
    assert bench.peer.of(AUTH)[0].key == "another"


def test_a_plan_that_allows_fewer_symbols_ends_the_listening(bench: Bench) -> None:
    bench.peer.answers[SUBSCRIBE] = custom_message(51001, "limit of 200 exceeded")
    outcome = bench.listen().end()
    assert isinstance(outcome, RequestRefused)
    assert "limit of 200 exceeded" in str(outcome)


def test_a_refused_subscription_ends_the_listening(bench: Bench) -> None:
    bench.peer.answers[SUBSCRIBE] = reply(SUBSCRIBE, False)
    assert isinstance(bench.listen().end(), RequestRefused)


def test_another_message_is_logged_and_harms_nothing(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.peer.answers[MODE] = custom_message(7, "hello", CUSTOM)
    listening = bench.listen()
    until(lambda: "frame" in listening.events)
    assert "hello" in caplog.text
    assert listening.events == ["connected", "frame"]


def test_frames_are_acknowledged_as_often_as_the_server_asks(bench: Bench) -> None:
    bench.peer.ack_count = 2
    bench.listen()
    until(lambda: bench.peer.told and len(bench.peer.of(ACK)) >= 2)
    assert [request.number for request in bench.peer.of(ACK)[:2]] == [2, 4]


def test_a_count_of_two_bytes_asks_for_nothing(bench: Bench) -> None:
    bench.peer.answers[AUTH] = frame_of(AUTH, [b"K", b"\x00\x02", b"{}"])  # as the real server
    listening = bench.listen()
    until(lambda: listening.frames >= 5)
    assert not bench.peer.of(ACK)


def test_more_topics_than_fit_into_a_request_are_asked_for_in_several() -> None:
    topics = [f"sf|nse_cm|{number}" for number in range(3001)]
    assert [len(fyers_requests.subscription(topics[:n])) for n in (0, 1500, 1501, 3001)] == [
        0,
        1,
        2,
        3,
    ]


def test_pings_keep_the_server_from_cutting_the_line(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fyers_connection, "_PING_SECONDS", 0.1)
    bench.listen(patience=0.4)
    until(lambda: bench.peer.told and len(bench.peer.of(PING)) >= 3)


def test_an_instrument_that_does_not_trade_does_not_cost_the_connection(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fyers_connection, "STALL_SECONDS", 0.6)
    bench.wanted = {}  # nothing that could send anything
    listening = bench.listen(patience=0.4)
    until(lambda: bench.peer.told and len(bench.peer.of(MODE)) >= 5)
    assert bench.peer.attempts == 1
    assert listening.events == ["connected", "frame"]


def test_no_thread_descriptor_or_file_outlives_the_listening(
    bench: Bench,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    bench.broker(bench.root).instruments()  # Polars keeps what it opens for the first file it reads
    threads, opened = set(threading.enumerate()), descriptors()
    listening = bench.listen()
    until(lambda: "frame" in listening.events)
    bench.peer.drop()
    until(lambda: listening.events.count("connected") == 2)
    listening.stop.set()
    listening.end()
    until(lambda: not bench.peer.live)
    # What tests before this one have left may end meanwhile.
    until(lambda: set(threading.enumerate()) <= threads and descriptors() <= opened)
    assert not list(tmp_path.iterdir())
    assert capsys.readouterr().out == ""


def test_two_connections_of_one_process_do_not_know_each_other(bench: Bench) -> None:
    first = bench.listen()
    until(lambda: "frame" in first.events)
    bench.wanted = {INFY: Mode.FULL}
    second = bench.listen()
    until(lambda: "frame" in second.events)
    second.stop.set()
    second.end()
    seen = first.frames
    until(lambda: first.frames > seen)
    assert first.events == ["connected", "frame"]


def test_without_masters_contracts_come_all_the_same_and_well_known_indices(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.peer.files.clear()
    listening = bench.listen()
    until(lambda: "frame" in listening.events)
    has_sdk = importlib.util.find_spec("fyers_apiv3") is not None
    nifty = "if|nse_cm|Nifty 50" if has_sdk else "if|nse_cm|NIFTY50"
    assert set(bench.peer.of(SUBSCRIBE)[0].topics) == {TOPICS[INFY], nifty}
    assert "NSE_CM" in caplog.text


def test_a_master_that_is_missing_is_named(bench: Bench) -> None:
    del bench.peer.files["/sym_details/MCX_COM.csv"]
    with pytest.raises(BrokerUnavailable, match="MCX_COM"):
        bench.broker(bench.root).instruments()


def test_a_master_is_fetched_once_a_day(bench: Bench) -> None:
    files = fyers_files.PublicFiles(bench.root)
    for _ in range(3):
        assert files.ticker(INFY) == "NSE:INFY-EQ"
    assert bench.peer.asked == ["/sym_details/NSE_CM.csv"]


@pytest.mark.parametrize("master", ["", MASTERS["NSE_CM"].splitlines()[1]])
def test_a_master_without_indices_does_not_make_contracts_of_those_that_are_known(
    bench: Bench, master: str
) -> None:
    bench.peer.files["/sym_details/NSE_CM.csv"] = master
    files = fyers_files.PublicFiles(bench.root)
    assert files.topics([INFY, NIFTY]) == {TOPICS[INFY], TOPICS[NIFTY]}


def test_an_empty_master_is_not_kept(bench: Bench) -> None:
    bench.peer.files["/sym_details/NSE_CM.csv"] = ""
    files = fyers_files.PublicFiles(bench.root)
    assert files.tickers([INFY]) == {}
    bench.peer.files["/sym_details/NSE_CM.csv"] = MASTERS["NSE_CM"]
    assert files.ticker(INFY) == "NSE:INFY-EQ"
