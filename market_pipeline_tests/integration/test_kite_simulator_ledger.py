"""The simulated exchange's ledger against what a client received, in good times and bad."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import polars as pl
import pytest
import requests

from market_pipeline.brokers import kite_wire
from market_pipeline.market import PACKET_COLUMNS
from market_pipeline.simulator.accounts import Accounts
from market_pipeline.simulator.dispatch import read_connections, read_packets
from market_pipeline.simulator.kite_server import RunningSimulator, SimulatorOptions, running
from market_pipeline_tests.kite_simulator_cases import (
    NIFTY,
    RELIANCE,
    SBIN,
    Client,
    Connect,
    until,
)
from market_pipeline_tests.kite_simulator_cases import clear_faults as clear_faults
from market_pipeline_tests.kite_simulator_cases import connect as connect
from market_pipeline_tests.kite_simulator_cases import twisted as twisted

pytestmark = pytest.mark.timeout(60)

MIDNIGHT = datetime.fromisoformat("2026-11-25T00:00:00+05:30")


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[RunningSimulator]:
    """A simulator with a ledger of its own."""
    options = SimulatorOptions(port=0, every_second=True, ledger=tmp_path)
    with running(options) as simulator:
        yield simulator


Settled = Callable[[Client], pl.DataFrame]


@pytest.fixture
def settled(simulator: RunningSimulator, tmp_path: Path) -> Settled:
    """Wait until a client has all that was sent, check that it is that, return the ledger."""

    def settle(client: Client) -> pl.DataFrame:
        simulator.fault("silence")
        until(lambda: len(client.packets["token"]) == _whole(tmp_path).height)
        assert_received(client, _whole(tmp_path))
        return read_packets(tmp_path)

    return settle


def _whole(folder: Path) -> pl.DataFrame:
    return read_packets(folder).filter(~pl.col("damaged"))


def assert_received(client: Client, sent: pl.DataFrame) -> None:
    for name in PACKET_COLUMNS:
        received = client.packets[name]
        np.testing.assert_array_equal(received, sent[name].to_numpy(), err_msg=name)


def feeding(client: Client, packets: int = 5) -> Client:
    """Return the client once the live feed has begun."""
    until(lambda: len(client.packets["token"]) >= packets)
    return client


def test_everything_an_undisturbed_client_receives_is_in_the_ledger(
    connect: Connect, settled: Settled
) -> None:
    sent = settled(feeding(connect(full=[RELIANCE, NIFTY], quote=[SBIN]), 12))
    assert sent["number"].to_list() == list(range(sent.height))
    assert not sent["damaged"].any()


def test_each_client_has_its_own_packets_in_the_ledger(
    connect: Connect, simulator: RunningSimulator, tmp_path: Path
) -> None:
    clients = {1: feeding(connect(full=[RELIANCE])), 2: feeding(connect(ltp=[NIFTY, SBIN]))}
    simulator.fault("silence")
    for connection, client in clients.items():
        sent = read_packets(tmp_path).filter(pl.col("connection") == connection)
        until(lambda c=client, s=sent: len(c.packets["token"]) == s.height)  # type: ignore[misc]
        assert_received(client, sent)


def test_a_duplicated_frame_is_received_and_recorded_twice(
    connect: Connect, simulator: RunningSimulator, settled: Settled
) -> None:
    client = feeding(connect(full=[RELIANCE, NIFTY]))
    before = len(client.frames)
    simulator.fault("duplicate", frames=2)
    until(lambda: len(client.frames) >= before + 5)
    settled(client)
    frames = [frame for frame in client.frames[before:] if len(frame) > 1]
    twice = [a for a, b in zip(frames, frames[1:], strict=False) if a == b]
    assert len(twice) == 2


def test_a_late_frame_arrives_behind_newer_ones(
    connect: Connect, simulator: RunningSimulator, settled: Settled
) -> None:
    client = feeding(connect(full=[RELIANCE]))
    simulator.fault("late", seconds=1.2)
    until(lambda: (np.diff(client.packets["exchange_time"][3:]) < 0).any())
    sent = settled(client)
    stamps = sent["exchange_time"].to_numpy()[3:]
    late = int(np.flatnonzero(np.diff(stamps) < 0)[0]) + 1
    assert stamps[late] in range(stamps[late - 1] - 3, stamps[late - 1])
    assert sent["sent_at"].is_sorted()


def test_a_late_frame_is_neither_sent_nor_recorded_once_the_line_is_cut(
    connect: Connect, simulator: RunningSimulator, settled: Settled
) -> None:
    client = feeding(connect(full=[RELIANCE]))
    simulator.fault("late", seconds=1.0)
    connection = simulator.server.ticker.connections[0]
    until(lambda: not connection.disturbances)
    simulator.fault("drop")
    until(client.closed.is_set)
    received = len(client.packets["token"])
    sent = settled(feeding(client, received + 4))
    stamps = sent.filter(pl.col("connection") == 1)["exchange_time"].to_numpy()
    assert (np.diff(stamps[3:]) >= 0).all()


@pytest.mark.parametrize("fault", ["cut", "garbage_length"])
@pytest.mark.parametrize("frames", [1, 2])
def test_packets_before_the_damage_are_sent_and_the_others_damaged(
    connect: Connect,
    simulator: RunningSimulator,
    settled: Settled,
    fault: str,
    frames: int,
) -> None:
    tokens = simulator.server.exchange.listing.token[:40].tolist()
    client = feeding(connect(full=tokens), 120)
    simulator.fault(fault, frames=frames)
    until(lambda: not simulator.server.ticker.connections[0].disturbances)
    sent = settled(client)
    edges = np.diff(sent["damaged"].to_numpy().astype(int), append=0)
    assert (edges == 1).sum() == frames  # each began with packets that are whole
    assert sent["damaged"].sum() >= 10 * frames


def test_half_a_frame_ends_the_connection(
    connect: Connect, simulator: RunningSimulator, settled: Settled, tmp_path: Path
) -> None:
    client = feeding(connect(full=[RELIANCE, NIFTY]))
    simulator.fault("half_frame")
    until(lambda: 2 in read_connections(tmp_path)["connection"])
    sent = settled(feeding(client, len(client.packets["token"]) + 8))
    broken = sent.filter("damaged")
    assert broken["connection"].to_list() == [1, 1]
    assert broken["number"].to_list() == [broken["number"][0], broken["number"][0] + 1]
    assert sent.filter(pl.col("connection") == 1)["damaged"].to_list()[-2:] == [True, True]
    assert read_connections(tmp_path)["cause"].to_list() == ["fault: half_frame", None]


def test_faults_that_are_cleared_do_not_happen(
    connect: Connect, simulator: RunningSimulator, settled: Settled
) -> None:
    client = feeding(connect(full=[RELIANCE, NIFTY]))
    simulator.fault("cut", frames=1000)
    simulator.fault("clear")
    packets = len(client.packets["token"])
    assert not settled(feeding(client, packets + 4))["damaged"].all()


def test_packets_within_bytes_of_any_kind_are_recorded(
    connect: Connect, simulator: RunningSimulator, settled: Settled
) -> None:
    client = feeding(connect(full=[RELIANCE]))
    price = f"0002 0008 {RELIANCE:08x} 00000064 0008 00"
    simulator.fault("malformed", payload=price)
    sent = settled(client)
    assert sent["last_price"].to_list().count(1.0) == 1


@pytest.mark.parametrize(
    ("fault", "cause"), [("drop", "fault: drop"), (None, "closed by the client")]
)
def test_the_cause_of_an_ending_is_recorded(
    connect: Connect,
    simulator: RunningSimulator,
    tmp_path: Path,
    fault: str | None,
    cause: str,
) -> None:
    client = feeding(connect(full=[RELIANCE]), 3)
    simulator.fault(fault) if fault else client.close()
    until(lambda: read_connections(tmp_path)["closed_at"][0] is not None)
    assert read_connections(tmp_path)["cause"][0] == cause


def test_a_simulator_that_stops_ends_its_connections(connect: Connect, tmp_path: Path) -> None:
    with running(SimulatorOptions(port=0, ledger=tmp_path / "other")) as other:
        client = connect(to=other, full=[RELIANCE])
        until(lambda: client.texts)
        other.stop()
    assert read_connections(tmp_path / "other")["cause"].to_list() == ["the simulator stopped"]
    client.close()


def test_status_counts_packets_of_connections_that_have_ended(
    connect: Connect, simulator: RunningSimulator, tmp_path: Path
) -> None:
    client = feeding(connect(full=[RELIANCE]))
    client.close()
    until(lambda: not simulator.server.ticker.connections)
    status = requests.get(f"{simulator.url}/simulator/status", timeout=5).json()
    assert status["connections"] == []
    assert status["packets_sent"] == read_packets(tmp_path).height


@pytest.mark.parametrize(
    ("fault", "parameters"),
    [("late", {"seconds": "soon"}), ("cut", {"frames": "all"}), ("half_frame", {"frames": 2})],
)
def test_parameters_that_make_no_sense_are_refused(
    connect: Connect, simulator: RunningSimulator, fault: str, parameters: dict[str, Any]
) -> None:
    feeding(connect(full=[RELIANCE]), 1)
    url = f"{simulator.url}/simulator/faults/{fault}"
    assert requests.post(url, json=parameters, timeout=5).status_code == 400


# The clock


def test_a_day_begins_anew_at_the_midnight_of_a_shifted_clock(
    connect: Connect, tmp_path: Path
) -> None:
    folder = tmp_path / "midnight"
    starts_at = MIDNIGHT - timedelta(seconds=5)
    options = SimulatorOptions(port=0, every_second=True, ledger=folder, starts_at=starts_at)
    with running(options) as shifted:
        client = connect(to=shifted, full=[RELIANCE])
        midnight = int(MIDNIGHT.timestamp())
        until(lambda: (client.packets["exchange_time"] >= midnight + 2).any())
        client.close()
    sent = read_packets(folder).filter(pl.col("exchange_time") > 0)
    before = sent.filter(pl.col("exchange_time") < midnight)
    after = sent.filter(pl.col("exchange_time") >= midnight)
    assert before.height >= 2
    assert after["day_volume"].max() < before["day_volume"].min()  # type: ignore[operator]


# A simulator that is killed


def test_all_that_was_received_before_a_kill_is_in_the_ledger(tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    options = ["--port", "0", "--ledger", str(folder), "--starts-at", "2026-11-24 12:00:00"]
    command = [sys.executable, "-m", "market_pipeline", "simulator", "--every-second", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        url = process.stdout.readline().split()[-1] if process.stdout else ""
        received = asyncio.run(frames_until_killed(url, process))
    packets = kite_wire.decode(received).packets
    sent = read_packets(folder).head(len(packets["token"]))
    for name in PACKET_COLUMNS:
        np.testing.assert_array_equal(packets[name], sent[name].to_numpy(), err_msg=name)


async def frames_until_killed(url: str, process: "subprocess.Popen[str]") -> list[bytes]:
    """Subscribe, kill the process after some frames, and read what is left on the line."""
    token = Accounts("simulator", "simulator").access_token
    login = f"{url}/?api_key=simulator&access_token={token}"
    frames = []
    async with aiohttp.ClientSession() as session, session.ws_connect(login) as socket:
        await socket.send_json({"a": "subscribe", "v": [RELIANCE, NIFTY]})
        async for message in socket:
            if message.type is aiohttp.WSMsgType.BINARY:
                frames.append(message.data)
            if len(frames) == 5:
                process.kill()
    return frames
