"""The whole Fyers adapter against the simulated broker, as the pipeline uses it."""

import importlib.util
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from pydantic import SecretStr

from market_pipeline.brokers import (
    fyers_connection,
    fyers_rest,
    fyers_socket,
    log_in_to_simulator,
    open_broker,
    token_store,
)
from market_pipeline.brokers.fyers import Fyers
from market_pipeline.config import BrokerName, Settings
from market_pipeline.errors import BrokerError, ConfigurationError, RequestRefused, TokenExpired
from market_pipeline.market import INSTRUMENT_SCHEMA, Interval, Mode
from market_pipeline.simulator.fyers_feed import Habits
from market_pipeline.simulator.fyers_server import RunningFyers, SimulatorOptions, running
from market_pipeline_tests.line_cases import until

pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.skipif(
        importlib.util.find_spec("fyers_apiv3") is None, reason="fyers-apiv3 is not installed"
    ),
]
MINUTE, FIVE, DAY = Interval("1m", 1), Interval("5m", 5), Interval("1d", 1440)


@pytest.fixture
def simulator() -> Iterator[RunningFyers]:
    with running(SimulatorOptions(port=0, instruments=40, every_second=True)) as simulator:
        yield simulator


def settings_of(simulator: RunningFyers, home: Path) -> Settings:
    return Settings(
        _env_file=None,
        broker=BrokerName.FYERS_SIMULATOR,
        simulator_url=simulator.url,
        market_pipeline_home=home,
    )


@pytest.fixture
def settings(simulator: RunningFyers, tmp_path: Path) -> Settings:
    return settings_of(simulator, tmp_path)


def logged_in(settings: Settings) -> Fyers:
    log_in_to_simulator(settings)
    fyers = open_broker(settings)
    assert isinstance(fyers, Fyers)
    return fyers


@pytest.fixture
def fyers(settings: Settings) -> Fyers:
    return logged_in(settings)


class Listening:
    """Fyers.listen in a thread of its own, and what its sink is told."""

    def __init__(self, fyers: Fyers, tokens: list[int], patience: float = 10.0) -> None:
        self.frames: list[bytes] = []
        self.causes: list[str] = []
        self.connections = 0
        self.wanted, self.stop = dict.fromkeys(tokens, Mode.FULL), threading.Event()
        self.outcome: list[BrokerError] = []
        self.decoder = fyers.decoder()
        self.seen: set[int] = set()
        self.thread = threading.Thread(target=self._run, args=(fyers, patience))
        self.thread.start()

    def _run(self, fyers: Fyers, patience: float) -> None:
        try:
            fyers.listen(lambda: dict(self.wanted), self, self.stop, lambda: patience)
        except BrokerError as error:
            self.outcome.append(error)

    def connected(self) -> None:
        self.connections += 1
        self.decoder.reset()
        self.seen = set()

    def frame(self, payload: bytes) -> None:
        self.frames.append(payload)
        self.seen |= set(self.decoder.decode([payload]).packets["token"].tolist())

    def text(self, message: str) -> None: ...

    def disconnected(self, cause: str) -> None:
        self.causes.append(cause)

    def end(self) -> None:
        self.stop.set()
        self.thread.join(10)
        assert not self.thread.is_alive()


@pytest.fixture
def tokens(fyers: Fyers) -> list[int]:
    """Return a few instruments, an index among them."""
    listed = fyers.instruments()
    index = listed.filter(pl.col("kind") == "INDEX")["token"].head(1)
    return [*index, *listed.filter(pl.col("kind") != "INDEX")["token"].head(4)]


@pytest.fixture
def listening(fyers: Fyers, tokens: list[int]) -> Iterator[Listening]:
    listening = Listening(fyers, tokens)
    yield listening
    listening.end()


def test_the_login_leaves_a_token_that_works_until_it_says_itself(settings: Settings) -> None:
    fyers = logged_in(settings)
    assert fyers.profile()
    assert fyers.token_fingerprint()
    store, now = token_store(settings), datetime.now(UTC)
    token = store.current(BrokerName.FYERS_SIMULATOR, now)
    assert token
    until_then = fyers_rest.expires_at(token.get_secret_value())
    assert store.current(BrokerName.FYERS_SIMULATOR, until_then - timedelta(seconds=1)) == token
    assert store.current(BrokerName.FYERS_SIMULATOR, until_then) is None


def test_a_login_with_a_wrong_secret_is_refused(fyers: Fyers) -> None:
    with pytest.raises(RequestRefused):
        fyers.exchange_auth_code("made up", SecretStr("wrong"))


def test_instruments_need_no_login(settings: Settings) -> None:
    instruments = open_broker(settings).instruments()
    assert instruments.schema == pl.Schema(INSTRUMENT_SCHEMA)
    assert len(instruments) == 40


def test_candles_come_minute_by_minute_with_both_ends(fyers: Fyers, tokens: list[int]) -> None:
    start = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(days=1)
    candles = fyers.candles(tokens[1], MINUTE, start, start + timedelta(minutes=5))
    assert candles["time"].to_list() == [start + timedelta(minutes=m) for m in range(6)]


def test_the_last_five_minute_candle_is_whole(fyers: Fyers, tokens: list[int]) -> None:
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=1)
    minutes = fyers.candles(tokens[1], MINUTE, start, start + timedelta(minutes=4))
    candle = fyers.candles(tokens[1], FIVE, start, start).row(0, named=True)
    assert candle["close"] == minutes["close"].last()
    assert candle["volume"] == minutes["volume"].sum()


def test_a_daily_candle_bears_midnight_in_india(fyers: Fyers, tokens: list[int]) -> None:
    end = datetime.now(UTC).replace(hour=18, minute=30, second=0, microsecond=0)
    candles = fyers.candles(tokens[1], DAY, end - timedelta(days=7), end - timedelta(days=3))
    assert len(candles) == 5
    assert set(candles["time"].dt.strftime("%H:%M")) == {"18:30"}


def test_as_many_days_as_are_promised_are_given(fyers: Fyers, tokens: list[int]) -> None:
    end = datetime.now(UTC).replace(second=0, microsecond=0)
    for interval in (FIVE, DAY):
        days = timedelta(days=fyers.max_days[interval.minutes], minutes=-interval.minutes)
        assert len(fyers.candles(tokens[1], interval, end - days, end))


def test_every_subscribed_instrument_sends_packets(tokens: list[int], listening: Listening) -> None:
    until(lambda: listening.seen == set(tokens))
    assert not listening.causes


def test_an_instrument_wanted_later_sends_too(
    fyers: Fyers, tokens: list[int], listening: Listening
) -> None:
    until(lambda: listening.frames)
    extra = fyers.instruments()["token"].tail(1).item()
    assert extra not in tokens
    listening.wanted[extra] = Mode.FULL
    until(lambda: extra in listening.seen)


@pytest.mark.parametrize("fault", ["drop", "half_frame"])
def test_after_a_lost_line_every_instrument_sends_again(
    tokens: list[int], simulator: RunningFyers, listening: Listening, fault: str
) -> None:
    until(lambda: listening.seen == set(tokens))
    simulator.fault(fault)
    until(lambda: len(listening.causes) == 1)
    until(lambda: listening.connections == 2 and listening.seen == set(tokens))


def test_a_feed_that_stalls_behind_a_living_connection_is_noticed(
    fyers: Fyers, tokens: list[int], simulator: RunningFyers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fyers_socket, "_POLL_SECONDS", 0.1)
    monkeypatch.setattr(fyers_connection, "STALL_SECONDS", 1.5)
    listening = Listening(fyers, tokens, patience=1.0)
    until(lambda: listening.frames)
    simulator.fault("silence")
    until(lambda: listening.causes)
    assert listening.causes[0] == "no frame for 1.5 s"
    simulator.fault("silence", on=False)
    until(lambda: listening.seen == set(tokens))
    listening.end()


def test_failing_requests_for_tokens_do_not_concern_us(
    fyers: Fyers, tokens: list[int], simulator: RunningFyers
) -> None:
    simulator.fault("symbol_token")
    listening = Listening(fyers, tokens)
    until(lambda: listening.seen == set(tokens))
    listening.end()


def test_a_malformed_frame_is_handed_on_and_the_connection_stays(
    fyers: Fyers, simulator: RunningFyers, listening: Listening
) -> None:
    until(lambda: listening.frames)
    simulator.fault("malformed")
    until(lambda: fyers.decoder().decode(list(listening.frames)).faults)
    assert not listening.causes


@pytest.mark.parametrize("fault", ["expire_tokens", "refuse"])
def test_a_refused_login_ends_the_listening_at_the_next_connection(
    simulator: RunningFyers, listening: Listening, fault: str
) -> None:
    until(lambda: listening.frames)
    simulator.fault(fault)
    simulator.fault("drop")
    until(lambda: listening.outcome)
    assert isinstance(listening.outcome[0], TokenExpired)


def test_a_client_that_pings_is_not_cut_off_and_acknowledges_what_it_gets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fyers_connection, "_PING_SECONDS", 0.3)
    monkeypatch.setattr(fyers_socket, "_POLL_SECONDS", 0.1)
    habits = Habits(ping_seconds=1.0, ack_count=2)
    options = SimulatorOptions(port=0, instruments=10, every_second=True)
    with running(options, habits) as simulator:
        fyers = logged_in(settings_of(simulator, tmp_path))
        listening = Listening(fyers, fyers.instruments()["token"].to_list())
        until(lambda: any(c.acknowledged >= 4 for c in simulator.server.ticker.connections))
        listening.end()
        assert listening.causes == ["stopped"]


def test_more_than_the_plan_allows_is_refused(tmp_path: Path) -> None:
    options = SimulatorOptions(port=0, instruments=10)
    with running(options, Habits(most_topics=5)) as simulator:
        fyers = logged_in(settings_of(simulator, tmp_path))
        listening = Listening(fyers, fyers.instruments()["token"].to_list())
        until(lambda: listening.outcome)
        assert isinstance(listening.outcome[0], RequestRefused)
        listening.end()


def test_a_new_login_is_used_without_a_restart(
    simulator: RunningFyers, settings: Settings, fyers: Fyers
) -> None:
    simulator.fault("expire_tokens")
    with pytest.raises(TokenExpired):
        fyers.profile()
    log_in_to_simulator(settings)
    assert fyers.profile()


def test_fyers_without_its_app_id_says_where_to_find_it(settings: Settings) -> None:
    real = settings.model_copy(update={"broker": BrokerName.FYERS, "fyers_app_id": ""})
    with pytest.raises(ConfigurationError, match="FYERS_APP_ID"):
        open_broker(real)


def test_a_token_of_the_simulator_is_not_taken_for_one_of_fyers(
    settings: Settings, fyers: Fyers
) -> None:
    real = settings.model_copy(update={"broker": BrokerName.FYERS, "fyers_app_id": "app"})
    assert open_broker(real).token_fingerprint() == ""
    assert fyers.token_fingerprint() != ""
