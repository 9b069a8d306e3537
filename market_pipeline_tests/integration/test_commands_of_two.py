"""The commands where two brokers are configured, against two simulators of one exchange."""

import importlib.util
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from market_pipeline import brokers, config
from market_pipeline.__main__ import app
from market_pipeline.brokers.base import Broker
from market_pipeline.brokers.fyers import Fyers
from market_pipeline.brokers.kite import Kite
from market_pipeline.commands.demo import demo_mix
from market_pipeline.commands.running import prepare_market, stay_logged_in
from market_pipeline.config import BrokerName, Settings
from market_pipeline.errors import BrokerUnavailable
from market_pipeline.market import Interval
from market_pipeline.simulator import fyers_server, kite_server
from market_pipeline.simulator.kite_server import SimulatorOptions
from market_pipeline.storage import instruments
from market_pipeline.storage.database import Database
from market_pipeline.streaming import supervisor
from market_pipeline.streaming.supervisor import StopReason
from market_pipeline_tests.acceptance.demo import free_port
from market_pipeline_tests.builders import fetch
from market_pipeline_tests.instrument_cases import numbered, sync

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("fyers_apiv3") is None, reason="fyers-apiv3 is not installed"
)
KITE, FYERS = BrokerName.SIMULATOR, BrokerName.FYERS_SIMULATOR
OPTIONS = SimulatorOptions(port=0, instruments=60, rate_limits=False)


@pytest.fixture(scope="module")
def urls() -> Iterator[tuple[str, str]]:
    with kite_server.running(OPTIONS) as kite, fyers_server.running(OPTIONS) as fyers:
        yield kite.url, fyers.url


@pytest.fixture
def settings(
    database: Database, urls: tuple[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Settings:
    """The settings of the environment, which name both."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("DATABASE_URL", database.url)
    monkeypatch.setenv("BROKER", f"{KITE},{FYERS}")
    monkeypatch.setenv("SIMULATOR_URL", urls[0])
    monkeypatch.setenv("STANDBY_SIMULATOR_URL", urls[1])
    monkeypatch.setenv("MARKET_PIPELINE_HOME", str(tmp_path))
    monkeypatch.setattr(config, "settings", config.load)
    return config.load()


def command(*words: str) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, list(words))


def listed(database: Database) -> dict[str, int]:
    """Return how many instruments are known of each broker."""
    return dict(fetch(database, "SELECT broker, count(*) FROM broker_instruments GROUP BY 1"))


def subscribed(database: Database) -> list[str]:
    rows = fetch(
        database,
        "SELECT symbol FROM subscriptions JOIN instruments USING (instrument_id)"
        " WHERE is_active ORDER BY symbol",
    )
    return [symbol for (symbol,) in rows]


def test_sync_tells_what_it_did_broker_by_broker(database: Database, settings: Settings) -> None:
    first, second = command("instruments", "sync").stdout.splitlines()
    known = listed(database)
    assert first.split()[:2] == [f"broker={KITE}", f"total={known[KITE]}"]
    assert second.split()[:2] == [f"broker={FYERS}", f"total={known[FYERS]}"]


@pytest.mark.parametrize("failing", [KITE, FYERS])
def test_sync_goes_on_with_the_other_broker_and_fails_at_the_end(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch, failing: BrokerName
) -> None:
    variable = "SIMULATOR_URL" if failing is KITE else "STANDBY_SIMULATOR_URL"
    monkeypatch.setenv(variable, f"http://127.0.0.1:{free_port()}")
    result = command("instruments", "sync")
    assert isinstance(result.exception, BrokerUnavailable)
    assert f"{failing} was not synchronised" in result.stderr
    assert listed(database).keys() == {KITE, FYERS} - {failing}


def test_subscribing_and_unsubscribing_reach_what_either_broker_offers(
    database: Database, settings: Settings
) -> None:
    sync(database, *numbered("NSE", 2), broker=KITE)
    sync(database, *numbered("BSE", 2), broker=FYERS)
    assert command("subscribe", "NSE1", "BSE2").exit_code == 0
    assert subscribed(database) == ["BSE2", "NSE1"]
    assert command("unsubscribe", "BSE2").exit_code == 0
    assert subscribed(database) == ["NSE1"]


def test_stream_listens_to_both_brokers_the_preferred_one_first(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Broker] = []

    def run_stream(stream: str, run_id: str, feeds: list[Broker], *others: object) -> StopReason:
        given.extend(feeds)
        return StopReason.STOPPED

    monkeypatch.setattr(supervisor, "run_stream", run_stream)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setenv("BROKER", f"{FYERS},{KITE}")
    assert command("stream", f"{FYERS}-0").exit_code == 0
    assert [type(feed) for feed in given] == [Fyers, Kite]


def test_the_market_of_two_is_prepared_with_logins_and_masters_of_both(
    database: Database, settings: Settings
) -> None:
    master = prepare_market(settings, database)
    assert listed(database)[KITE] == master.height == 60
    assert listed(database)[FYERS] > 40
    store, now = brokers.token_store(settings), datetime.now(UTC)
    assert store.current(KITE, now) and store.current(FYERS, now)


def test_what_the_demo_streams_comes_from_both_brokers(
    database: Database, settings: Settings
) -> None:
    names = demo_mix(prepare_market(settings, database), 50)
    instruments.subscribe(database, KITE.value, names)
    rows = instruments.wanted_tokens(database, [KITE, FYERS], f"{KITE}-0", 3000)
    counts = dict(rows.group_by("broker").len().rows())
    assert counts[KITE] == 50
    assert counts[FYERS] > 40


def test_both_stay_logged_in(database: Database, settings: Settings, tmp_path: Path) -> None:
    prepare_market(settings, database)
    store, now = brokers.token_store(settings), datetime.now(UTC)
    before = {name: store.last_login(name) for name in (KITE, FYERS)}
    stay_logged_in(settings)
    assert before == {name: store.last_login(name) for name in before}
    for name in before:  # as in the morning, when they have ended
        (tmp_path / "tokens" / f"{name}.json").unlink()
    stay_logged_in(settings)
    assert all(store.current(name, now) for name in before)


def test_the_simulated_brokers_tell_of_the_same_trades(
    database: Database, settings: Settings
) -> None:
    prepare_market(settings, database)
    end = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=5)
    told: list[pl.DataFrame] = []
    for each in settings.each_broker:
        broker = brokers.open_broker(each)
        master = broker.instruments()
        (token,) = master.filter(pl.col("symbol") == "RELIANCE", exchange="NSE")["token"]
        minutes = broker.candles(token, Interval("1m", 1), end - timedelta(minutes=30), end)
        told.append(minutes.select("time", "open", "high", "low", "close", "volume"))
    assert told[0].height > 20
    assert told[0].equals(told[1])
