"""The whole Kite adapter against the simulated broker, as the pipeline uses it."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from market_pipeline.brokers import BROKERS, log_in_to_simulator, open_broker, token_store
from market_pipeline.brokers.base import Broker
from market_pipeline.brokers.kite import Kite
from market_pipeline.config import BrokerName, Settings
from market_pipeline.errors import BrokerUnavailable, ConfigurationError, TokenExpired
from market_pipeline.market import INSTRUMENT_SCHEMA, Interval, Mode
from market_pipeline.simulator.kite_server import RunningSimulator, SimulatorOptions, running

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def simulator() -> Iterator[RunningSimulator]:
    with running(SimulatorOptions(port=0, instruments=40, every_second=True)) as simulator:
        yield simulator


@pytest.fixture
def settings(simulator: RunningSimulator, tmp_path: Path) -> Settings:
    return Settings(
        _env_file=None,
        broker=BrokerName.SIMULATOR,
        simulator_url=simulator.url,
        market_pipeline_home=tmp_path,
        kite_access_token=None,
    )


@pytest.fixture
def kite(settings: Settings) -> Broker:
    log_in_to_simulator(settings)
    return open_broker(settings)


def until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "this did not come true in time"
        time.sleep(0.01)


class Sink:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.causes: list[str] = []
        self.connections = 0

    def connected(self) -> None:
        self.connections += 1

    def frame(self, payload: bytes) -> None:
        self.frames.append(payload)

    def text(self, message: str) -> None: ...

    def disconnected(self, cause: str) -> None:
        self.causes.append(cause)

    def full_packets_of(self, kite: Broker) -> set[int]:
        packets = kite.decoder().decode(list(self.frames)).packets
        return set(packets["token"][packets["exchange_time"] > 0].tolist())


class Listening:
    """Broker.listen in a thread of its own."""

    def __init__(self, kite: Broker, tokens: list[int]) -> None:
        self.sink, self.wanted = Sink(), dict.fromkeys(tokens, Mode.FULL)
        self.stop = threading.Event()
        self.outcome: list[Exception] = []
        self.thread = threading.Thread(target=self._run, args=(kite,))
        self.thread.start()

    def _run(self, kite: Broker) -> None:
        try:
            kite.listen(lambda: dict(self.wanted), self.sink, self.stop)
        except (TokenExpired, BrokerUnavailable) as error:
            self.outcome.append(error)

    def end(self) -> None:
        self.stop.set()
        self.thread.join(10)
        assert not self.thread.is_alive()


@pytest.fixture
def tokens(kite: Broker) -> list[int]:
    """Return a few instruments, an index among them."""
    listed = kite.instruments()
    index = listed.filter(pl.col("kind") == "INDEX")["token"].head(1)
    return [*index, *listed.filter(pl.col("kind") != "INDEX")["token"].head(4)]


@pytest.fixture
def listening(kite: Broker, tokens: list[int]) -> Iterator[Listening]:
    listening = Listening(kite, tokens)
    yield listening
    listening.end()


def test_the_login_leaves_a_token_that_works(settings: Settings) -> None:
    log_in_to_simulator(settings)
    kite = open_broker(settings)
    assert isinstance(kite, Kite)
    assert kite.profile()
    assert kite.token_fingerprint()


def test_before_a_login_the_message_says_to_log_in(settings: Settings) -> None:
    with pytest.raises(TokenExpired, match="login"):
        open_broker(settings).candles(1, Interval("1m", 1), datetime.now(UTC), datetime.now(UTC))


def test_a_simulator_that_is_not_there_is_unavailable(settings: Settings) -> None:
    gone = settings.model_copy(update={"simulator_url": "http://127.0.0.1:9"})
    with pytest.raises(BrokerUnavailable):
        log_in_to_simulator(gone)


def test_instruments_need_no_login(settings: Settings) -> None:
    instruments = open_broker(settings).instruments()
    assert instruments.schema == pl.Schema(INSTRUMENT_SCHEMA)
    assert len(instruments) >= 40


def test_candles_come_minute_by_minute_with_both_ends(kite: Broker, tokens: list[int]) -> None:
    start = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(days=1)
    candles = kite.candles(tokens[1], Interval("1m", 1), start, start + timedelta(minutes=5))
    assert candles["time"].to_list() == [start + timedelta(minutes=m) for m in range(6)]


def test_the_last_five_minute_candle_is_whole(kite: Broker, tokens: list[int]) -> None:
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=1)
    minutes = kite.candles(tokens[1], Interval("1m", 1), start, start + timedelta(minutes=4))
    candle = kite.candles(tokens[1], Interval("5m", 5), start, start).row(0, named=True)
    assert candle["close"] == minutes["close"].last()
    assert candle["volume"] == minutes["volume"].sum()


def test_every_subscribed_instrument_sends_full_packets(
    kite: Broker, tokens: list[int], listening: Listening
) -> None:
    until(lambda: listening.sink.full_packets_of(kite) == set(tokens))
    assert not kite.decoder().decode(list(listening.sink.frames)).faults


def test_an_instrument_wanted_later_sends_too(
    kite: Broker, tokens: list[int], listening: Listening
) -> None:
    until(lambda: listening.sink.frames)
    extra = kite.instruments()["token"].tail(1).item()
    assert extra not in tokens
    listening.wanted[extra] = Mode.FULL
    until(lambda: extra in listening.sink.full_packets_of(kite))


def test_after_a_drop_every_instrument_sends_full_packets_again(
    kite: Broker, tokens: list[int], simulator: RunningSimulator, listening: Listening
) -> None:
    until(lambda: listening.sink.full_packets_of(kite) == set(tokens))
    simulator.fault("drop")
    until(lambda: len(listening.sink.causes) == 1)
    listening.sink.frames.clear()
    until(lambda: listening.sink.full_packets_of(kite) == set(tokens))
    assert listening.sink.connections == 2


def test_a_malformed_frame_is_handed_on_and_the_connection_stays(
    kite: Broker, simulator: RunningSimulator, listening: Listening
) -> None:
    until(lambda: listening.sink.frames)
    simulator.fault("malformed")
    until(lambda: kite.decoder().decode(list(listening.sink.frames)).faults)
    assert not listening.sink.causes


def test_a_token_that_expires_ends_the_listening_at_the_next_connection(
    simulator: RunningSimulator, listening: Listening
) -> None:
    until(lambda: listening.sink.frames)
    simulator.fault("expire_tokens")
    simulator.fault("drop")
    until(lambda: listening.outcome)
    assert isinstance(listening.outcome[0], TokenExpired)


def test_a_new_login_is_used_without_a_restart(
    simulator: RunningSimulator, settings: Settings, kite: Broker
) -> None:
    assert isinstance(kite, Kite)
    simulator.fault("expire_tokens")
    with pytest.raises(TokenExpired):
        kite.profile()
    log_in_to_simulator(settings)
    assert kite.profile()


def test_every_broker_of_the_settings_is_registered() -> None:
    assert set(BROKERS) == set(BrokerName)


def test_kite_without_its_key_says_where_to_find_it(settings: Settings) -> None:
    kite = settings.model_copy(update={"broker": BrokerName.KITE, "kite_api_key": ""})
    with pytest.raises(ConfigurationError, match="KITE_API_KEY"):
        open_broker(kite)


def test_a_stored_kite_token_is_used_where_the_settings_have_none(
    settings: Settings, kite: Broker
) -> None:
    token = token_store(settings).current("simulator", datetime.now(UTC))
    assert token
    real = settings.model_copy(update={"broker": BrokerName.KITE, "kite_api_key": "key"})
    assert open_broker(real).token_fingerprint() == ""
    token_store(settings).save("kite", token, datetime.now(UTC))
    assert open_broker(real).token_fingerprint() != ""
