"""The command that tells what instruments stand at, against the simulated exchange."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from market_pipeline import brokers, config
from market_pipeline.__main__ import app
from market_pipeline.config import Settings
from market_pipeline.errors import UnknownInstrument
from market_pipeline.market import INSTRUMENT_SCHEMA, QUOTE_SCHEMA
from market_pipeline.sessions import trading_date
from market_pipeline.simulator import kite_server
from market_pipeline.simulator.kite_server import RunningSimulator, SimulatorOptions
from market_pipeline.storage import instruments
from market_pipeline.storage.database import Database
from market_pipeline_tests.builders import fetch
from market_pipeline_tests.instrument_cases import equity

RELIANCE = 738561


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    with kite_server.running(
        SimulatorOptions(port=0, instruments=60, rate_limits=False)
    ) as simulator:
        yield simulator


@pytest.fixture
def market(
    database: Database, simulator: RunningSimulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Database:
    """A database that knows what the simulated broker lists, and a login to it."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("DATABASE_URL", database.url)
    monkeypatch.setenv("BROKER", "simulator")
    monkeypatch.setenv("SIMULATOR_URL", simulator.url)
    monkeypatch.setenv("MARKET_PIPELINE_HOME", str(tmp_path))
    monkeypatch.setattr(config, "settings", config.load)  # the process keeps the first otherwise
    settings = config.load()
    brokers.log_in_to_simulator(settings)
    master = brokers.open_broker(settings).instruments()
    instruments.sync(database, "simulator", master, trading_date(datetime.now(UTC)))
    return database


def quote(*words: str, width: int = 220) -> Result:
    return CliRunner(env={"COLUMNS": str(width)}).invoke(app, ["quote", *words])


def test_a_table_shows_each_instrument_by_whatever_name(market: Database) -> None:
    result = quote("NSE:SBIN", "NIFTY 50", str(RELIANCE))
    assert result.exit_code == 0
    rows = [line for line in result.stdout.splitlines() if "NSE:" in line]
    assert [row.split("\u2502")[1].strip() for row in rows] == [
        "NSE:NIFTY 50",
        "NSE:RELIANCE",
        "NSE:SBIN",
    ]
    assert " at " in rows[1] and " at " not in rows[0]  # an index has no book


def test_names_are_whole_in_a_narrow_terminal(market: Database) -> None:
    (name,) = fetch(market, "SELECT symbol FROM instruments WHERE kind = 'FUT' LIMIT 1")[0]
    assert f"NFO:{name} " in quote(name, width=90).stdout


def test_programs_get_every_column_with_exchange_and_symbol(market: Database) -> None:
    (row,) = json.loads(quote("NSE:RELIANCE", "--json").stdout)
    assert list(row) == ["exchange", "symbol", *QUOTE_SCHEMA]
    assert (row["exchange"], row["symbol"], row["token"]) == ("NSE", "RELIANCE", RELIANCE)
    assert row["day_low"] <= row["last_price"] <= row["day_high"]
    assert datetime.fromisoformat(row["exchange_time"]).tzinfo is not None


def test_what_the_broker_says_nothing_of_is_named_and_the_rest_is_told(market: Database) -> None:
    master = brokers.open_broker(config.settings()).instruments()
    listed = master.vstack(pl.DataFrame([equity(257, "NSE1")], schema=INSTRUMENT_SCHEMA))
    instruments.sync(market, "simulator", listed, trading_date(datetime.now(UTC)))
    result = quote("NSE1", "SBIN", "--json")
    assert result.exit_code == 1
    assert [row["symbol"] for row in json.loads(result.stdout)] == ["SBIN"]
    assert result.stderr == "simulator has no quote of NSE:NSE1\n"


def test_an_unknown_name_is_refused_before_anything_is_asked(
    market: Database, simulator: RunningSimulator
) -> None:
    before = simulator.server.requests.accepted["quote"]
    assert isinstance(quote("NSE:RELIANC").exception, UnknownInstrument)
    assert simulator.server.requests.accepted["quote"] == before


def test_the_request_counts_against_the_budget_of_all_processes(market: Database) -> None:
    assert quote("NSE:RELIANCE").exit_code == 0
    names = fetch(market, "SELECT broker, budget FROM broker_budgets")
    assert names == [("simulator", "quote")]
