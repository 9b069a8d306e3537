"""The commands about the broker's candles, against the simulated exchange."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from market_pipeline import config
from market_pipeline.__main__ import app
from market_pipeline.errors import ConfigurationError, RequestRefused, UnknownInstrument
from market_pipeline.storage.database import Database
from market_pipeline_tests.history_days import DAY, Day, simulated_day

HOLE = range(60, 62)


@pytest.fixture
def day(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Day]:
    with simulated_day(database, tmp_path, is_paced=True) as made:
        monkeypatch.setenv("DATABASE_URL", database.url)
        monkeypatch.setenv("BROKER", "simulator")
        monkeypatch.setenv("SIMULATOR_URL", made.exchange.url)
        monkeypatch.setenv("SIMULATOR_ALWAYS_OPEN", "false")
        monkeypatch.setenv("MARKET_PIPELINE_HOME", str(tmp_path))
        monkeypatch.setattr(config, "settings", config.load)
        yield made


def command(*words: str) -> Result:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, words)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def backfill(*words: str) -> Result:
    return command("backfill", "--from", "2026-10-01", "--to", str(DAY), *words)


def parsed(result: Result) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(result.stdout)
    return content


def test_a_dry_run_tells_how_many_requests_and_how_long_and_asks_for_nothing(day: Day) -> None:
    printed = " ".join(backfill("--dry-run").stdout.split())
    assert "requests 3 at least 0:00:01 at 3 requests a second" in printed
    assert day.history_requests() == 0


def test_a_backfill_says_what_it_has_done_and_its_repetition_does_nothing(day: Day) -> None:
    assert "3 requests, 3" in backfill().stdout
    again = backfill()
    assert "requests 0" in " ".join(again.stdout.split())
    assert day.history_requests() == 3


def test_a_backfill_for_programs_is_json(day: Day) -> None:
    found = parsed(backfill("--json", "--instruments", "NSE:INFY,NSE:SBIN"))
    assert (found["requests"], found["done"]["failed"]) == (2, 0)
    assert found["done"]["candles"] > 20_000


def test_a_backfill_in_which_a_request_failed_ends_with_code_1(day: Day) -> None:
    day.exchange.fault("fail_history", count=1, status=400)
    result = backfill()
    assert result.exit_code == 1
    assert "1 failed" in result.stdout
    assert "Run the same again" in result.stdout


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (("--interval", "7m"), RequestRefused, "no candles of 7 minutes: choose of 1m, 3m"),
        (("--interval", "soon"), ConfigurationError, "write it as 1m, 5m, 1h or 1d"),
        (("--instruments", "NSE:INFI"), UnknownInstrument, "NSE:INFY"),
        (("--segment", "CD"), ConfigurationError, "no instrument is meant"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_can(
    day: Day, words: tuple[str, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        backfill(*words)


def test_a_backfill_that_ends_before_it_begins_is_refused(day: Day) -> None:
    with pytest.raises(ConfigurationError, match="is later than"):
        command("backfill", "--from", "2026-11-02", "--to", "2026-11-01")


def test_a_day_is_fetched_compared_and_reported(day: Day, tmp_path: Path) -> None:
    day.store_ticks({"NSE:RELIANCE": HOLE})
    file = tmp_path / "report.md"
    printed = command("reconcile", "--day", str(DAY), "--report", str(file)).stdout
    assert "NSE:RELIANCE" in printed
    assert "2 agrees" in file.read_text("utf-8")
    assert day.is_true("NSE:RELIANCE")


def test_a_day_that_was_compared_says_so(day: Day) -> None:
    day.store_ticks()
    command("reconcile", "--day", str(DAY))
    printed = command("reconcile", "--day", str(DAY)).stdout
    assert "3 instruments had been compared before: --again compares them anew" in printed
    found = parsed(command("reconcile", "--day", str(DAY), "--again", "--json"))
    assert {each["verdict"] for each in found["instruments"]} == {"agrees"}


def test_candles_the_broker_does_not_have_end_with_code_1(day: Day) -> None:
    day.store_ticks()
    exchange = day.exchange.server.exchange
    token = exchange.listing.securities[exchange.listing.row_by_name["NSE:SBIN"]].token
    day.exchange.fault("empty_history", tokens=[token])
    result = command("reconcile", "--day", str(DAY))
    assert result.exit_code == 1
    assert "1 unsettled" in result.stdout


def test_gaps_are_filled_on_command(day: Day) -> None:
    day.store_ticks({"NSE:RELIANCE": HOLE})
    day.gap(day.minute(60), day.minute(61) + timedelta(seconds=30), "NSE:RELIANCE")
    assert command("fill-gaps").stdout.split() == [
        "gaps=1",
        "without_trading=0",
        "failed=0",
        "candles=2",
    ]
