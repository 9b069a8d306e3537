"""What goes wrong at the simulated Fyers' data socket, and what it asks of its clients."""

import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from market_pipeline.simulator.fyers_feed import Habits
from market_pipeline.simulator.fyers_server import RunningFyers, SimulatorOptions, running
from market_pipeline_tests.fyers_simulator_cases import (
    NIFTY,
    PING,
    RELIANCE,
    RELIANCE_TOKEN,
    SBIN,
    Client,
    Connect,
    field,
    items_of,
    merged,
    request,
    subscription,
    until,
)
from market_pipeline_tests.fyers_simulator_cases import clear_faults as clear_faults
from market_pipeline_tests.fyers_simulator_cases import connect as connect
from market_pipeline_tests.fyers_simulator_cases import fast_simulator as fast_simulator

pytestmark = pytest.mark.timeout(60)

ROWS = """symbol,time,open,high,low,close,volume
SBIN,2016-08-16 09:15,245.55,246.35,244.05,245.3,3000000005
SBIN,2016-08-16 09:16,245.25,245.35,244.8,245.15,394274
"""


# Habits


@pytest.fixture
def strict() -> Iterator[RunningFyers]:
    habits = Habits(ping_seconds=0.6, most_topics=2, ack_count=3)
    options = SimulatorOptions(port=0, instruments=60, every_second=True)
    with running(options, habits) as simulator:
        yield simulator


def test_too_many_symbols_are_refused_in_words(strict: RunningFyers, connect: Connect) -> None:
    client = connect(SBIN, NIFTY, RELIANCE, to=strict)
    until(lambda: client.of(51))
    message = client.of(51)[0]
    assert struct.unpack(">i", message[7:11])[0] == 51001
    assert b"limit" in message
    assert not client.of(4)
    assert not client.items


def test_a_client_that_does_not_ping_is_cut_off(strict: RunningFyers, connect: Connect) -> None:
    silent, pinging = connect(SBIN, to=strict), connect(SBIN, to=strict)

    def cut() -> bool:
        pinging.send(PING)
        time.sleep(0.05)
        return silent.closed.is_set()

    until(cut)
    assert not pinging.closed.is_set()


def test_a_client_is_told_how_often_to_acknowledge(strict: RunningFyers, connect: Connect) -> None:
    client = connect(to=strict)
    until(lambda: client.of(1))
    assert struct.unpack(">I", client.of(1)[0][-4:])[0] == 3
    client.send(request(3, field(1, struct.pack(">I", 42))))
    until(lambda: strict.server.ticker.connections[0].acknowledged == 42)


# Large volumes


def test_a_volume_of_three_billion_is_sent_as_a_negative_number(
    tmp_path: Path, connect: Connect
) -> None:
    file = tmp_path / "candles.csv"
    file.write_text(ROWS)
    options = SimulatorOptions(port=0, replay=file, speed=1000, start_when_subscribed=1)
    with running(options) as replayed:
        client = connect(SBIN, to=replayed)
        until(lambda: replayed.server.clock.finished and client.items)
        client.close()
    volumes = [state[1] for state in merged(client.items, SBIN)]
    assert volumes[-1] & 0xFFFFFFFF == 3_000_000_005 + 394_274
    assert volumes[-1] < 0


# Faults


def test_a_dropped_line_ends_without_a_handshake(simulator: RunningFyers, connect: Connect) -> None:
    client = connect(SBIN)
    until(lambda: client.items)
    simulator.fault("drop")
    until(client.closed.is_set)


def test_silence_sends_nothing_at_all(simulator: RunningFyers, connect: Connect) -> None:
    client = connect(SBIN)
    until(lambda: len(client.items) >= 2)
    simulator.fault("silence")
    time.sleep(0.1)  # what was under way
    seen, now = len(client.frames), simulator.server.clock.now()
    client.send(subscription([NIFTY]))
    until(lambda: simulator.server.clock.now() > now + 2)
    assert len(client.frames) == seen
    simulator.fault("silence", on=False)
    until(lambda: NIFTY in {item.topic for item in client.items})


def test_a_muted_instrument_is_silent_alone(simulator: RunningFyers, connect: Connect) -> None:
    client = connect(SBIN, RELIANCE)
    until(lambda: len(client.items) >= 2)
    simulator.fault("mute", tokens=[RELIANCE_TOKEN])
    muted = next(item.number for item in client.items if item.topic == RELIANCE)
    time.sleep(0.1)  # what was under way
    seen = len(client.items)
    until(lambda: len(client.items) >= seen + 3)
    assert muted not in {item.number for item in client.items[seen:]}


def test_a_handshake_can_be_slow(simulator: RunningFyers, connect: Connect) -> None:
    simulator.fault("slow_handshake", seconds=0.4)
    begun = time.monotonic()
    connect()
    assert time.monotonic() - begun >= 0.4


@pytest.mark.parametrize("status", [403, 429, 502])
def test_an_upgrade_can_be_refused(simulator: RunningFyers, status: int) -> None:
    simulator.fault("refuse_upgrade", status=status)
    client = Client(simulator)
    until(client.closed.is_set)
    client.close()
    assert client.status == status


def test_an_outage_leaves_the_data_socket_alone(simulator: RunningFyers, connect: Connect) -> None:
    simulator.fault("outage")
    client = connect(SBIN)
    until(lambda: client.items)


def test_a_malformed_frame_declares_more_than_it_has(
    simulator: RunningFyers, connect: Connect
) -> None:
    client = connect()
    until(lambda: len(client.frames) >= 2)
    simulator.fault("malformed")
    until(lambda: client.of(6))
    with pytest.raises(struct.error):
        items_of(client.of(6)[0])


@pytest.mark.parametrize(
    ("fault", "parameters"), [("mute", {}), ("refuse", {"often": 1}), ("cut", {"frames": "all"})]
)
def test_parameters_that_make_no_sense_are_refused(
    simulator: RunningFyers, connect: Connect, fault: str, parameters: dict[str, Any]
) -> None:
    client = connect(SBIN)
    until(lambda: client.items)
    url = f"{simulator.url}/simulator/faults/{fault}"
    assert requests.post(url, json=parameters, timeout=5).status_code == 400
