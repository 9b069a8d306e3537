"""The ledger of the simulated Fyers against what a client received, in good times and bad."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import requests

from market_pipeline.brokers import fyers_wire
from market_pipeline.market import PACKET_COLUMNS
from market_pipeline.simulator.dispatch import read_connections, read_packets
from market_pipeline.simulator.fyers_feed import Habits
from market_pipeline.simulator.fyers_server import RunningFyers, SimulatorOptions, running
from market_pipeline_tests.fyers_simulator_cases import (
    NIFTY,
    NIFTY_TOKEN,
    NOON,
    RELIANCE,
    SBIN,
    SBIN_BOOK,
    SBIN_TOKEN,
    Client,
    Connect,
    merged,
    subscription,
    until,
)
from market_pipeline_tests.fyers_simulator_cases import clear_faults as clear_faults
from market_pipeline_tests.fyers_simulator_cases import connect as connect

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[RunningFyers]:
    """A simulator with a ledger of its own, whose day goes by ten times as fast."""
    options = SimulatorOptions(
        port=0, every_second=True, day=NOON.date(), speed=10, ledger=tmp_path
    )
    with running(options) as simulator:
        requests.post(f"{simulator.url}/simulator/start", timeout=5)
        yield simulator


Settled = Callable[[Client], pl.DataFrame]


@pytest.fixture
def settled(simulator: RunningFyers, tmp_path: Path) -> Settled:
    """Wait until a client has all that was sent, check that it is that, return the ledger."""

    def settle(client: Client) -> pl.DataFrame:
        simulator.fault("silence")
        until(lambda: len(client.packets["token"]) == whole(tmp_path).height)
        assert_received(client, whole(tmp_path))
        return read_packets(tmp_path)

    return settle


def whole(folder: Path, connection: int = 1) -> pl.DataFrame:
    sent = read_packets(folder)
    return sent.filter(~pl.col("damaged"), pl.col("connection") == connection)


def assert_received(client: Client, sent: pl.DataFrame) -> None:
    received = client.packets
    for name in PACKET_COLUMNS:
        np.testing.assert_array_equal(received[name], sent[name].to_numpy(), err_msg=name)


def feeding(client: Client, packets: int = 6) -> Client:
    """Return the client once the live feed has begun."""
    until(lambda: len(client.packets["token"]) >= packets)
    return client


def faults(client: Client) -> int:
    return len(fyers_wire.Decoder().decode(list(client.frames)).faults)


def test_everything_an_undisturbed_client_receives_is_in_the_ledger(
    connect: Connect, settled: Settled
) -> None:
    client = feeding(connect(SBIN, RELIANCE, NIFTY), 12)
    sent = settled(client)
    assert sent["number"].to_list() == list(range(sent.height))
    assert not sent["damaged"].any()
    assert not faults(client)


def test_the_ledger_says_what_a_reader_of_the_layout_finds(
    connect: Connect, settled: Settled
) -> None:
    client = feeding(connect(SBIN, NIFTY))
    sent = settled(client)
    for topic, token, places in (
        (SBIN, SBIN_TOKEN, {"last_price": 0, "day_low": 13, "previous_close": 20}),
        (NIFTY, NIFTY_TOKEN, {"last_price": 0, "day_low": 4, "previous_close": 1}),
    ):
        states = merged(client.items, topic)
        packets = sent.filter(pl.col("token") == token)
        for name, place in places.items():
            assert packets[name].to_list() == [state[place] / 100 for state in states]


def test_lite_packets_hold_the_last_price_alone(connect: Connect, settled: Settled) -> None:
    sent = settled(feeding(connect(SBIN, NIFTY, letter="L")))
    assert max(sent["day_volume"][:2].to_list()) > 0
    assert (sent["day_volume"][2:] == -1).all()
    assert sent["previous_close"][2:].is_nan().all()


def test_depth_is_not_in_the_ledger(connect: Connect, settled: Settled) -> None:
    sent = settled(feeding(connect(SBIN, SBIN_BOOK, RELIANCE)))
    assert len(set(sent["token"])) == 2


def test_each_client_has_its_own_packets_in_the_ledger(
    connect: Connect, simulator: RunningFyers, tmp_path: Path
) -> None:
    clients = {1: feeding(connect(SBIN)), 2: feeding(connect(NIFTY, RELIANCE, letter="L"))}
    simulator.fault("silence")
    for connection, client in clients.items():
        sent = whole(tmp_path, connection)
        until(lambda c=client, s=sent: len(c.packets["token"]) == s.height)  # type: ignore[misc]
        assert_received(client, sent)


def test_a_duplicated_frame_is_received_and_recorded_twice(
    connect: Connect, simulator: RunningFyers, settled: Settled
) -> None:
    client = feeding(connect(SBIN, NIFTY))
    before = len(client.of(6))
    simulator.fault("duplicate", frames=2)
    until(lambda: len(client.of(6)) >= before + 5)
    settled(client)
    frames = client.of(6)[before:]
    assert len([a for a, b in zip(frames, frames[1:], strict=False) if a == b]) == 2


def test_a_late_frame_takes_what_it_tells_back_to_older_values(
    connect: Connect, simulator: RunningFyers, settled: Settled
) -> None:
    client = feeding(connect(SBIN))
    simulator.fault("late", seconds=0.5)
    until(lambda: (np.diff(client.packets["exchange_time"]) < 0).any())
    assert (np.diff(settled(client)["exchange_time"].to_numpy()) < 0).any()


@pytest.mark.parametrize("fault", ["cut", "garbage_length"])
@pytest.mark.parametrize("letter", ["F", "L"])
def test_packets_before_the_damage_are_sent_and_the_others_damaged(
    connect: Connect, simulator: RunningFyers, settled: Settled, fault: str, letter: str
) -> None:
    topics = [symbol.topic for symbol in simulator.server.symbols.rows.values()][:40]
    client = feeding(connect(*topics, letter=letter), 120)
    simulator.fault(fault, frames=2)
    until(lambda: not simulator.server.ticker.connections[0].disturbances)
    seen = len(client.packets["token"])
    sent = settled(feeding(client, seen + 40))
    edges = np.diff(sent["damaged"].to_numpy().astype(int), append=0)
    assert (edges == 1).sum() == 2  # each began with packets that are whole
    assert sent["damaged"].sum() >= 2 * 10
    assert faults(client) == 2


def test_updates_of_a_topic_whose_snapshot_was_damaged_are_damaged_too(
    connect: Connect, simulator: RunningFyers, settled: Settled
) -> None:
    client = connect()
    until(lambda: simulator.server.ticker.connections)
    simulator.fault("cut")
    client.send(subscription([SBIN, RELIANCE, NIFTY]))
    sent = settled(feeding(client, 4))
    assert set(sent.filter(~pl.col("damaged"))["token"]) == {NIFTY_TOKEN}
    assert sent["damaged"].sum() >= 2 * 3


def test_half_a_frame_ends_the_connection(
    connect: Connect, simulator: RunningFyers, tmp_path: Path
) -> None:
    client = feeding(connect(SBIN, NIFTY))
    simulator.fault("half_frame")
    until(client.closed.is_set)
    until(lambda: read_connections(tmp_path)["cause"].to_list() == ["fault: half_frame"])
    sent = read_packets(tmp_path)
    assert sent["damaged"].to_list()[-2:] == [True, True]
    assert sent["damaged"].sum() == 2
    assert_received(client, whole(tmp_path))


def test_packets_within_bytes_of_any_kind_are_recorded(
    connect: Connect, simulator: RunningFyers, settled: Settled
) -> None:
    client = feeding(connect(SBIN))
    number = next(item.number for item in client.items)
    payload = fyers_wire.data_frame([fyers_wire.lite_item(number, 77)], 1)
    simulator.fault("malformed", payload=payload.hex())
    assert settled(client)["last_price"].to_list().count(0.77) == 1


def test_a_malformed_frame_adds_nothing(
    connect: Connect, simulator: RunningFyers, settled: Settled
) -> None:
    client = feeding(connect(SBIN))
    simulator.fault("malformed")
    until(lambda: faults(client) == 1)
    assert not settled(client)["damaged"].any()


def test_a_client_that_is_cut_off_for_not_pinging_has_that_as_cause(tmp_path: Path) -> None:
    folder = tmp_path / "pings"
    options = SimulatorOptions(port=0, ledger=folder)
    with running(options, Habits(ping_seconds=0.2)) as simulator:
        client = Client(simulator)
        until(client.closed.is_set)
        client.close()
    assert read_connections(folder)["cause"].to_list() == ["no ping"]
