"""The simulated broker as the vendor's own, unmodified library sees it."""

import json
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import requests
from kiteconnect import KiteConnect, KiteTicker, exceptions
from twisted.internet import reactor as twisted_reactor

from market_pipeline.brokers import kite_wire
from market_pipeline.errors import PortInUse
from market_pipeline.market import Columns
from market_pipeline.simulator.kite_server import RunningSimulator, SimulatorOptions, running

pytestmark = pytest.mark.timeout(60)
reactor: Any = twisted_reactor  # a module that poses as an object

RELIANCE, NIFTY, SBIN = 738561, 256265, 779521
ROWS = """symbol,time,open,high,low,close,volume
SBIN,2016-08-16 09:15,245.55,246.35,244.05,245.3,692491
SBIN,2016-08-16 09:16,245.25,245.35,244.8,245.15,394274
SBIN,2016-08-16 09:17,245.15,245.7,244.35,245,1
"""


def until(condition: Callable[[], Any], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "this did not come true in time"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    with running(SimulatorOptions(port=0, rate_limits=False, every_second=True)) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def limited() -> Iterator[RunningSimulator]:
    with running(SimulatorOptions(port=0, instruments=10)) as simulator:
        yield simulator


@pytest.fixture(autouse=True)
def clear_faults(simulator: RunningSimulator) -> Iterator[None]:
    yield
    simulator.fault("clear")


def request_token(simulator: RunningSimulator) -> str:
    login = f"{simulator.url}/connect/login?api_key=simulator&v=3"
    answer = requests.get(login, allow_redirects=False, timeout=5)
    return parse_qs(urlsplit(answer.headers["Location"]).query)["request_token"][0]


def log_in(simulator: RunningSimulator) -> KiteConnect:
    kite = KiteConnect("simulator", root=simulator.url)
    kite.generate_session(request_token(simulator), "simulator")
    return kite


@pytest.fixture
def kite(simulator: RunningSimulator) -> Iterator[KiteConnect]:
    kite = log_in(simulator)
    yield kite
    kite.reqsession.close()


# REST


def test_a_login_gives_a_token_that_works(kite: KiteConnect) -> None:
    assert kite.profile()["broker"] == "ZERODHA"


def test_a_request_token_can_be_used_once(simulator: RunningSimulator) -> None:
    kite, token = KiteConnect("simulator", root=simulator.url), request_token(simulator)
    kite.generate_session(token, "simulator")
    with pytest.raises(exceptions.TokenException):
        kite.generate_session(token, "simulator")


def test_a_wrong_secret_is_refused(simulator: RunningSimulator) -> None:
    kite = KiteConnect("simulator", root=simulator.url)
    with pytest.raises(exceptions.TokenException, match="checksum"):
        kite.generate_session(request_token(simulator), "wrong")


def test_an_expired_token_is_refused_until_the_next_login(
    kite: KiteConnect, simulator: RunningSimulator
) -> None:
    simulator.fault("expire_tokens")
    with pytest.raises(exceptions.TokenException) as refused:
        kite.profile()
    assert refused.value.code == 403
    kite.generate_session(request_token(simulator), "simulator")
    assert kite.profile()["user_id"]


def test_logging_out_ends_the_session(kite: KiteConnect) -> None:
    kite.invalidate_access_token()
    with pytest.raises(exceptions.TokenException):
        kite.profile()


def test_the_instrument_dump_is_public_and_complete(simulator: RunningSimulator) -> None:
    rows = {
        row["instrument_token"]: row
        for row in KiteConnect("simulator", root=simulator.url).instruments()
    }
    assert len(rows) == 200
    assert rows[RELIANCE]["tradingsymbol"] == "RELIANCE"
    assert rows[NIFTY]["segment"] == "INDICES"
    assert {row["instrument_type"] for row in rows.values()} == {"EQ", "FUT", "CE", "PE"}
    assert all(isinstance(r["expiry"], date) for r in rows.values() if r["exchange"] == "NFO")


def test_the_dump_of_one_exchange_holds_only_that(kite: KiteConnect) -> None:
    assert {row["exchange"] for row in kite.instruments("MCX")} == {"MCX"}


def test_history_has_a_row_for_each_minute_and_open_interest_on_request(kite: KiteConnect) -> None:
    token = kite.instruments("MCX")[0]["instrument_token"]
    day = datetime(2026, 10, 6)  # noqa: DTZ001
    found = kite.historical_data(token, day, day + timedelta(minutes=9), "minute", oi=True)
    assert len(found) == 10
    assert found[0]["date"].isoformat() == "2026-10-06T00:00:00+05:30"
    assert found[0]["oi"] > 0


def test_asking_for_too_many_days_is_refused(kite: KiteConnect) -> None:
    with pytest.raises(exceptions.InputException, match="exceeds max limit: 60 days"):
        kite.historical_data(RELIANCE, "2026-01-01", "2026-03-31", "minute")


@pytest.mark.parametrize(
    ("token", "interval", "message"),
    [(1, "minute", "invalid token"), (RELIANCE, "7minute", "invalid interval")],
)
def test_what_does_not_exist_is_refused(
    kite: KiteConnect, token: int, interval: str, message: str
) -> None:
    with pytest.raises(exceptions.InputException, match=message):
        kite.historical_data(token, "2026-10-06", "2026-10-07", interval)


def test_a_day_is_whole_whatever_hours_were_asked_for(kite: KiteConnect) -> None:
    found = kite.historical_data(RELIANCE, "2026-10-05", "2026-10-06", "day")
    minutes = kite.historical_data(RELIANCE, "2026-10-06", "2026-10-06 23:59:00", "minute")
    assert [row["date"].day for row in found] == [5, 6]
    assert found[1]["volume"] == sum(row["volume"] for row in minutes)


def test_history_never_holds_the_future(kite: KiteConnect) -> None:
    assert kite.historical_data(RELIANCE, "2040-01-01", "2040-01-02", "minute") == []


def test_the_three_quotes_agree(kite: KiteConnect) -> None:
    name = "NSE:PAGEIND"
    full, ohlc, ltp = kite.quote(name)[name], kite.ohlc(name)[name], kite.ltp(name)[name]
    assert full["ohlc"]["open"] == ohlc["ohlc"]["open"]
    assert ltp.keys() == {"instrument_token", "last_price"}
    assert full["depth"]["buy"][0]["price"] < full["depth"]["sell"][0]["price"]


def test_names_that_are_not_listed_are_left_out_of_quotes(kite: KiteConnect) -> None:
    assert kite.ltp("NSE:NOSUCH", "NSE:SBIN").keys() == {"NSE:SBIN"}


@pytest.mark.parametrize(
    ("calls", "ask"),
    [
        (4, lambda kite: kite.historical_data(RELIANCE, "2026-10-06", "2026-10-06", "minute")),
        (2, lambda kite: kite.ltp("NSE:RELIANCE")),
    ],
)
def test_asking_too_often_is_refused_with_429(
    limited: RunningSimulator, calls: int, ask: Callable[[KiteConnect], Any]
) -> None:
    kite = log_in(limited)
    with pytest.raises(exceptions.NetworkException, match="Too many requests") as refused:
        for _ in range(calls * 3):
            ask(kite)
    assert refused.value.code == 429
    kite.reqsession.close()


def test_an_outage_answers_with_a_page_of_html(
    simulator: RunningSimulator, kite: KiteConnect
) -> None:
    simulator.fault("outage")
    with pytest.raises(exceptions.DataException, match="text/html"):
        kite.profile()


def test_faults_can_be_switched_over_http(simulator: RunningSimulator, kite: KiteConnect) -> None:
    requests.post(f"{simulator.url}/simulator/faults/outage", json={"on": True}, timeout=5)
    with pytest.raises(exceptions.DataException):
        kite.profile()
    requests.post(f"{simulator.url}/simulator/faults/clear", timeout=5)
    assert kite.profile()


def test_an_unknown_fault_is_refused_with_the_list_of_faults(simulator: RunningSimulator) -> None:
    answer = requests.post(f"{simulator.url}/simulator/faults/nosuch", timeout=5)
    assert answer.status_code == 400
    assert "silence" in answer.json()["message"]


def test_a_port_in_use_is_named(simulator: RunningSimulator) -> None:
    port = urlsplit(simulator.url).port
    with pytest.raises(PortInUse, match=str(port)), running(SimulatorOptions(port=port or 0)):
        pass


# WebSocket


@pytest.fixture(scope="module", autouse=True)
def twisted() -> None:
    """Run the reactor for the rest of the process: it can be started once only."""
    if not reactor.running:
        threading.Thread(
            target=reactor.run, kwargs={"installSignalHandlers": False}, daemon=True
        ).start()
        until(lambda: reactor.running)


class Client:
    """A KiteTicker that keeps what arrives."""

    def __init__(self, simulator: RunningSimulator, token: str, **modes: list[int]) -> None:
        self.frames: list[bytes] = []
        self.texts: list[dict[str, Any]] = []
        self.errors: list[str] = []
        self.closed = threading.Event()
        self._modes = modes
        self.ticker = KiteTicker("simulator", token, root=simulator.ws_url)
        self.ticker.on_connect = self._subscribe
        self.ticker.on_message = self._keep
        self.ticker.on_error = lambda ws, code, reason: self.errors.append(reason)
        self.ticker.on_close = lambda ws, code, reason: self.closed.set()
        reactor.callFromThread(self.ticker.connect)

    def _subscribe(self, ws: KiteTicker, response: object) -> None:
        for mode, tokens in self._modes.items():
            ws.subscribe(tokens)
            if mode != "quote":
                ws.set_mode(mode, tokens)

    def _keep(self, ws: KiteTicker, payload: bytes, is_binary: bool) -> None:
        if is_binary:
            self.frames.append(payload)
        else:
            self.texts.append(json.loads(payload))

    @property
    def packets(self) -> Columns:
        return kite_wire.decode(list(self.frames)).packets

    def send(self, text: str) -> None:
        reactor.callFromThread(lambda: self.ticker.ws.sendMessage(text.encode()))

    def close(self) -> None:
        reactor.callFromThread(self.ticker.stop_retry)
        reactor.callFromThread(self.ticker.close)
        if self.ticker.is_connected():
            assert self.closed.wait(10)


Connect = Callable[..., Client]


@pytest.fixture
def connect(simulator: RunningSimulator) -> Iterator[Connect]:
    clients: list[Client] = []

    def make(token: str | None = None, to: RunningSimulator = simulator, **modes: Any) -> Client:
        clients.append(Client(to, token or to.server.accounts.access_token, **modes))
        return clients[-1]

    yield make
    for client in clients:
        client.close()
    until(lambda: not simulator.server.ticker.connections)


def test_a_subscription_begins_with_the_cached_packet(connect: Connect) -> None:
    client = connect(full=[RELIANCE])
    until(lambda: len(client.packets["token"]) >= 3)
    sizes = [len(frame) - 4 for frame in client.frames[:2]]
    assert sizes == [44, 184]  # quote is the mode until another is chosen


def test_full_packets_carry_rising_stamps_and_volume(connect: Connect) -> None:
    client = connect(full=[RELIANCE])
    until(lambda: len(client.packets["token"]) >= 5)
    packets = client.packets
    stamped = packets["last_trade_time"][packets["last_trade_time"] > 0]
    assert (np.diff(stamped) >= 0).all()
    assert (np.diff(packets["day_volume"]) >= 0).all()


@pytest.mark.parametrize(
    ("mode", "token", "size"),
    [
        ("ltp", RELIANCE, 8),
        ("quote", RELIANCE, 44),
        ("full", RELIANCE, 184),
        ("ltp", NIFTY, 8),
        ("quote", NIFTY, 28),
        ("full", NIFTY, 32),
    ],
)
def test_each_mode_has_its_packet(connect: Connect, mode: str, token: int, size: int) -> None:
    client = connect(**{mode: [token]})
    until(lambda: len(client.frames) >= 3)
    assert client.frames[-1][2:4] == size.to_bytes(2, "big")
    assert client.packets["token"].tolist()[-1] == token


def test_the_vendors_own_parser_agrees_with_the_quote(
    connect: Connect, simulator: RunningSimulator
) -> None:
    client = connect(full=[RELIANCE, NIFTY])
    until(lambda: len(client.packets["token"]) >= 6)
    parsed = [tick for frame in client.frames for tick in client.ticker._parse_binary(frame)]
    ours = client.packets
    assert [tick["last_price"] for tick in parsed] == ours["last_price"][: len(parsed)].tolist()
    assert {tick["tradable"] for tick in parsed} == {True, False}


def test_unsubscribed_instruments_fall_silent_and_heartbeats_remain(connect: Connect) -> None:
    client = connect(full=[RELIANCE])
    until(lambda: len(client.frames) >= 2)
    reactor.callFromThread(client.ticker.unsubscribe, [RELIANCE])
    until(lambda: client.frames[-2:] == [kite_wire.HEARTBEAT] * 2)


def test_a_greeting_of_unknown_type_comes_first(connect: Connect) -> None:
    client = connect()
    until(lambda: client.texts)
    assert client.texts[0]["type"] == "instruments_meta"


@pytest.mark.parametrize("text", ["{", "[]", '{"a":"mode","v":["deep",[1]]}', '{"a":"subscribe"}'])
def test_a_message_that_makes_no_sense_is_answered_with_an_error(
    connect: Connect, text: str
) -> None:
    client = connect()
    until(lambda: client.texts)
    client.send(text)
    until(lambda: client.texts[-1]["type"] == "error")


def test_unknown_tokens_are_ignored(connect: Connect) -> None:
    client = connect(full=[1, RELIANCE])
    until(lambda: len(client.packets["token"]) >= 3)
    assert set(client.packets["token"].tolist()) == {RELIANCE}


def test_more_than_three_thousand_instruments_are_refused_in_words(
    connect: Connect,
) -> None:
    with running(SimulatorOptions(port=0, instruments=3_100)) as large:
        tokens = large.server.exchange.listing.token.tolist()
        client = connect(to=large, full=tokens)
        until(lambda: any(text["type"] == "error" for text in client.texts))
        assert "more than 3000" in client.texts[-1]["data"]
        client.close()


@pytest.mark.parametrize(("fault", "reason"), [({}, "403"), ({"status": 429}, "429")])
def test_an_upgrade_can_be_refused(
    connect: Connect, simulator: RunningSimulator, fault: dict[str, Any], reason: str
) -> None:
    if fault:
        simulator.fault("refuse_upgrade", **fault)
    client = connect(token=None if fault else "wrong")
    until(lambda: client.errors)
    assert reason in client.errors[0]


def test_a_handshake_can_be_slow(connect: Connect, simulator: RunningSimulator) -> None:
    simulator.fault("slow_handshake", seconds=0.4)
    begun = time.monotonic()
    client = connect()
    until(lambda: client.texts)
    assert time.monotonic() - begun >= 0.4


def test_a_fourth_connection_is_refused(connect: Connect, simulator: RunningSimulator) -> None:
    for _ in range(3):
        connect()
    until(lambda: len(simulator.server.ticker.connections) == 3)
    fourth = connect()
    until(lambda: fourth.errors)
    assert "429" in fourth.errors[0]


def test_dropped_clients_come_back_and_resubscribe(
    connect: Connect, simulator: RunningSimulator
) -> None:
    client = connect(full=[RELIANCE])
    until(lambda: len(client.frames) >= 3)
    simulator.fault("drop")
    until(client.closed.is_set)
    received = len(client.frames)
    until(lambda: len(client.frames) > received + 2)


def test_silence_stops_even_heartbeats_and_keeps_the_connection(
    connect: Connect, simulator: RunningSimulator
) -> None:
    client = connect(full=[RELIANCE])
    until(lambda: len(client.frames) >= 3)
    simulator.fault("silence")
    connection = simulator.server.ticker.connections[0]
    sent = connection.last_sent
    until(lambda: time.monotonic() > sent + 2.5)
    assert connection.last_sent == sent
    assert client.ticker.is_connected()


def test_malformed_frames_and_texts_are_sent_as_asked(
    connect: Connect, simulator: RunningSimulator
) -> None:
    client = connect()
    until(lambda: client.texts)
    simulator.fault("malformed")
    simulator.fault("text", message='{"type":"message","data":"closing early"}')
    until(lambda: client.texts[-1]["type"] == "message")
    assert any(kite_wire.decode([frame]).faults for frame in client.frames)


# A day replayed


@pytest.fixture
def replayed(tmp_path: Path) -> Iterator[RunningSimulator]:
    path = tmp_path / "candles.csv"
    path.write_text(ROWS)
    options = SimulatorOptions(port=0, replay=path, speed=1e6, start_when_subscribed=1)
    with running(options) as simulator:
        yield simulator


def test_a_replayed_file_arrives_complete_and_the_clock_stops(
    connect: Connect, replayed: RunningSimulator
) -> None:
    client = connect(to=replayed, full=[SBIN])
    status = f"{replayed.url}/simulator/status"
    until(lambda: requests.get(status, timeout=5).json()["finished"])
    until(lambda: client.packets["day_volume"].max() == 692491 + 394274 + 1)
    assert client.packets["last_price"][-1] == 245
    client.close()


def test_before_a_replay_begins_the_cached_packet_is_of_the_day_before(
    connect: Connect, replayed: RunningSimulator
) -> None:
    client = connect(to=replayed, full=[SBIN])
    until(lambda: len(client.frames) >= 2)
    stamp = datetime.fromisoformat("2016-08-15T15:29:59+05:30").timestamp()
    assert client.packets["last_trade_time"][1] == stamp
    client.close()


def test_the_server_runs_as_a_process_and_ends_on_a_signal(tmp_path: Path) -> None:
    program = (
        "from market_pipeline.simulator.kite_server import SimulatorOptions, serve; "
        "import sys; serve(SimulatorOptions(port=0), lambda url: sys.stdout.write(url + '\\n') "
        "and sys.stdout.flush())"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        url = process.stdout.readline().strip() if process.stdout else ""
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
        with urllib.request.urlopen(f"{url}/simulator/status") as answer:
            assert json.load(answer)["finished"] is False
        process.terminate()
        assert process.wait(10) == 0
