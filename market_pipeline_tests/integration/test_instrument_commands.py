"""The commands about instruments, on a database with two days of syncs behind it."""

import json
from datetime import UTC, date, datetime, timedelta

import pytest
from typer.testing import CliRunner, Result

from market_pipeline import config
from market_pipeline.__main__ import app
from market_pipeline.errors import UnknownInstrument
from market_pipeline.sessions import trading_date
from market_pipeline.simulator import kite_server
from market_pipeline.simulator.kite_server import SimulatorOptions
from market_pipeline.storage.database import Database
from market_pipeline_tests.instrument_cases import (
    INFY,
    OTHERS,
    SBIN,
    TCS,
    Row,
    equity,
    future,
    sync,
)


def today() -> date:
    return trading_date(datetime.now(UTC))


def yesterday() -> date:
    return today() - timedelta(days=1)


def old() -> Row:
    return future(259, "INFYOLDFUT", yesterday())


def new() -> Row:
    return future(259, "INFYNEWFUT", today() + timedelta(days=28))


@pytest.fixture
def known(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A database of the settings, in which yesterday and today differ."""
    monkeypatch.setenv("DATABASE_URL", database.url)
    monkeypatch.setenv("BROKER", "simulator")
    monkeypatch.setattr(config, "settings", config.load)  # the process keeps the first otherwise
    sync(database, INFY, TCS, old(), *OTHERS, day=yesterday(), broker="simulator")
    renamed = {**INFY, "symbol": "INFO", "broker_symbol": "INFO", "lot_size": 5}
    sync(database, renamed, SBIN, new(), *OTHERS, day=today(), broker="simulator")
    return database


def command(*words: str) -> Result:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["instruments", *words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_sync_prints_what_it_did(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with kite_server.running(SimulatorOptions(port=0, instruments=60)) as simulator:
        monkeypatch.setenv("DATABASE_URL", database.url)
        monkeypatch.setenv("BROKER", "simulator")
        monkeypatch.setenv("SIMULATOR_URL", simulator.url)
        monkeypatch.setattr(config, "settings", config.load)
        printed = command("sync").stdout
    assert printed.split() == [
        "total=60",
        "added=60",
        "renamed=0",
        "changed=0",
        "expired=0",
        "delisted=0",
        "relisted=0",
        "tokens_reused=0",
    ]


def test_search_shows_what_it_found_in_order(known: Database) -> None:
    printed = command("search", "info").stdout
    assert "INFO" in printed and "SBIN" not in printed
    printed = command("search", "infy", "fut").stdout
    assert "INFYNEWFUT" in printed and "INFYOLDFUT" not in printed


def test_search_takes_filters_in_any_case(known: Database) -> None:
    arguments = ["--exchange", "nfo", "--kind", "fut", "--underlying", "infy", "--json"]
    rows = json.loads(command("search", "", *arguments).stdout)
    assert [row["symbol"] for row in rows] == ["INFYNEWFUT"]
    expiry = ["--expiry", str(yesterday()), "--expired", "--limit", "1", "--json"]
    rows = json.loads(command("search", "infy fut", *expiry).stdout)
    assert [row["symbol"] for row in rows] == ["INFYOLDFUT"]


def test_search_says_when_words_were_corrected(known: Database) -> None:
    assert "Nothing is called other10l; this is similar" in command("search", "other10l").stdout


def test_search_that_finds_nothing_ends_with_code_one(known: Database) -> None:
    result = command("search", "qqqqqq", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (1, [])
    assert "simulator has nothing like qqqqqq" in result.stderr


def test_show_tells_names_tokens_and_history(known: Database) -> None:
    shown = json.loads(command("show", "257", "--json").stdout)
    assert (shown["symbol"], shown["lot_size"], shown["day"]) == ("INFO", 5, str(today()))
    assert [row["broker_symbol"] for row in shown["tokens"]] == ["INFY", "INFO"]
    assert [row["lot_size"] for row in shown["history"]] == [1, 5]
    printed = command("show", "NSE:INFO").stdout
    assert f"on {today()}" in printed and "INFY" in printed


def test_show_answers_as_of_a_day(known: Database) -> None:
    shown = json.loads(command("show", "259", "--on", str(yesterday()), "--json").stdout)
    assert shown["symbol"] == "INFYOLDFUT"
    assert json.loads(command("show", "259", "--json").stdout)["symbol"] == "INFYNEWFUT"


def test_show_says_when_a_name_was_known(known: Database) -> None:
    period = f"it meant one from {yesterday()} to {today()}; see --on"
    with pytest.raises(UnknownInstrument, match=f"no instrument INFYOLDFUT on {today()}: {period}"):
        command("show", "INFYOLDFUT")


def test_show_suggests_what_is_similar(known: Database) -> None:
    with pytest.raises(UnknownInstrument, match="did you mean NSE:SBIN"):
        command("show", "SBINN")
    with pytest.raises(UnknownInstrument, match="instruments sync"):
        command("show", "qqqqqq")


def test_changes_counts_all_and_lists_what_matters(known: Database) -> None:
    printed = command("changes").stdout
    for told in ("renamed", "lot_size", "expired", "NSE:TCS", "NSE:SBIN", "token 259"):
        assert told in printed
    assert "OTHER101" not in printed


def test_changes_reach_back_to_a_day(known: Database) -> None:
    rows = json.loads(command("changes", "--since", str(yesterday()), "--json").stdout)
    assert {row["day"] for row in rows} == {str(today()), str(yesterday())}


def test_changes_says_when_there_are_none(known: Database) -> None:
    tomorrow = str(today() + timedelta(days=1))
    assert command("changes", "--since", tomorrow).stdout == "Nothing has changed.\n"


def test_many_changes_are_cut_short(known: Database) -> None:
    more = [equity(n << 8 | 1, f"new(){n}") for n in range(1000, 1150)]
    renamed = {**INFY, "symbol": "INFO", "broker_symbol": "INFO", "lot_size": 5}
    sync(known, renamed, SBIN, new(), *OTHERS, *more, day=today(), broker="simulator")
    assert "see them all with --json" in command("changes").stdout


def test_compare_needs_two_brokers(known: Database) -> None:
    assert "one broker at most" in command("compare").stdout


def test_compare_counts_by_segment_and_ends_with_code_one_where_brokers_disagree(
    known: Database,
) -> None:
    sync(known, {**SBIN, "tick_size": 0.1}, *OTHERS, day=today(), broker="other")
    result = command("compare")
    assert result.exit_code == 1
    assert "first: other, second: simulator" in result.stdout
    assert "NSE:SBIN" in result.stdout
    (rows,) = json.loads(command("compare", "--json").stdout).values()
    assert {row["segment"]: row["matched"] for row in rows} == {"CM": 9, "FO": 0}
