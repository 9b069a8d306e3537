"""The simulated broker's WebSocket as the vendor's own, unmodified library sees it."""

import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from market_pipeline.brokers import kite_wire
from market_pipeline.simulator.kite_server import RunningSimulator, SimulatorOptions, running
from market_pipeline_tests.kite_simulator_cases import (
    NIFTY,
    RELIANCE,
    ROWS,
    SBIN,
    Connect,
    reactor,
    until,
)
from market_pipeline_tests.kite_simulator_cases import clear_faults as clear_faults
from market_pipeline_tests.kite_simulator_cases import connect as connect
from market_pipeline_tests.kite_simulator_cases import simulator as simulator
from market_pipeline_tests.kite_simulator_cases import twisted as twisted

pytestmark = pytest.mark.timeout(60)


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
