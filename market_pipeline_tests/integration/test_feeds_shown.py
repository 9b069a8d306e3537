"""What Dagster's check and the command `feeds` tell of two brokers' feeds."""

import json
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from typer.testing import CliRunner

from market_pipeline import config
from market_pipeline.__main__ import app
from market_pipeline.config import Settings
from market_pipeline.errors import ConfigurationError
from market_pipeline.orchestration.feeds import feeds_agree
from market_pipeline.orchestration.resources import MarketDatabase
from market_pipeline.storage import feeds
from market_pipeline.storage.database import Database
from market_pipeline_tests.builders import TODAY
from market_pipeline_tests.dagster_cases import Simulator
from market_pipeline_tests.feed_cases import Sent, add_gap, at, prepare, send

SHOWN = ("feeds", "--day", TODAY.isoformat())


class TwoBrokers(Simulator):
    """A broker that another stands by."""

    @property
    def settings(self) -> Settings:
        return super().settings.with_brokers("simulator,fyers_simulator")


@pytest.fixture
def market(database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Database:
    prepare(database)
    monkeypatch.setattr(feeds, "closed_minutes", lambda now, count: (at(0), at(count)))
    monkeypatch.setenv("DATABASE_URL", database.url)
    monkeypatch.setenv("MARKET_PIPELINE_HOME", str(tmp_path))
    monkeypatch.setattr(config, "settings", config.load)
    return database


def send_minutes(market: Database, *closes: float) -> None:
    """Let the preferred feed see 100.0 in each minute, and the other these closes."""
    for number, close in enumerate(closes):
        second = number * 60 + 1
        send(market, Sent(second, 100.0), Sent(second, close, after=0.8, stands_by=True))


def checked(market: Database, broker: Simulator | None = None) -> dg.AssetCheckResult:
    resource = MarketDatabase(url=market.url)
    result = feeds_agree(database=resource, broker=broker or TwoBrokers())
    assert isinstance(result, dg.AssetCheckResult)
    return result


def number(result: dg.AssetCheckResult, name: str) -> Any:
    return result.metadata[name].value


def command(*words: str) -> str:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, words)
    if result.exception is not None:
        raise result.exception
    return " ".join(result.stdout.split())


def test_the_check_passes_where_both_feeds_agree(market: Database) -> None:
    send_minutes(market, 100.0, 100.05)
    result = checked(market)
    assert result.passed
    assert (number(result, "minutes"), number(result, "price off")) == (2, 0)
    assert number(result, "lead") == pytest.approx(0.3)
    assert "worst instruments" not in result.metadata


def test_the_check_warns_of_closes_that_are_apart_and_names_the_instruments(
    market: Database,
) -> None:
    send_minutes(market, 100.0, 101.0)
    result = checked(market)
    assert not result.passed
    assert result.severity is dg.AssetCheckSeverity.WARN
    assert number(result, "price share") == 0.5
    assert number(result, "most ticks") == pytest.approx(20)
    assert "| NSE:INFY | 2 | 1 | 0 |" in number(result, "worst instruments")


def test_the_check_passes_with_a_note_where_one_broker_is_alone(market: Database) -> None:
    result = checked(market, Simulator())
    assert result.passed
    assert result.description == (
        "simulator alone is listened to: there is nothing to compare it with"
    )


def test_the_check_passes_with_a_note_where_no_minute_was_whole(market: Database) -> None:
    send_minutes(market, 101.0)
    add_gap(market, "fyers", 10, 20)
    result = checked(market)
    assert result.passed
    assert result.description is not None
    assert "none of these minutes" in result.description


def test_the_command_tells_what_each_connection_does(market: Database) -> None:
    found = [
        {"broker": "kite", "state": "streaming", "detail": "", "frames": 1234, "reconnects": 0},
        {"broker": "fyers", "state": "awaiting_login", "detail": "", "frames": 0, "reconnects": 0},
    ]
    with psycopg.connect(market.url) as connection:
        connection.execute(
            "INSERT INTO streams (stream, broker, run_id, state, started_at, heartbeat_at, feeds)"
            " VALUES ('kite-0', 'kite', '', 'streaming', now(), now(), %s)",
            (json.dumps(found),),
        )
    shown = command(*SHOWN)
    assert "kite-0 │ kite │ preferred │ streaming │ 1,234" in shown
    assert "kite-0 │ fyers │ stands by │ awaiting_login │ 0" in shown


def test_the_command_tells_take_overs_of_the_day(market: Database) -> None:
    add_gap(market, "kite", 60, 90.5, covered_by="fyers")
    add_gap(market, "fyers", 200, 210)  # nobody has covered it
    shown = command(*SHOWN)
    assert "09:16:00 │ kite │ fyers │ 30.5 │ line lost" in shown
    assert "line lost" not in shown.replace("30.5 │ line lost", "")


def test_the_command_tells_shares_and_disagreement_of_a_day(market: Database) -> None:
    send_minutes(market, 100.0, 101.0)
    send(market, Sent(130, broker="fyers"))
    add_gap(market, "kite", 125, 190, covered_by="fyers")
    shown = command(*SHOWN)
    assert "kite │ 2 │ 66.667 % │ 0" in shown
    assert "fyers │ 1 │ 33.333 % │ 2" in shown
    assert "fyers against kite" in shown
    assert "1 of 2 minutes, 50 %" in shown
    assert "NSE:INFY │ 2 │ 1 │ 0 │ 20 │" in shown


def test_the_command_for_programs_is_json_of_the_last_minutes(market: Database) -> None:
    send_minutes(market, 100.0, 101.0)
    found = json.loads(command("feeds", "--minutes", "2", "--json"))
    assert (found["from"], found["to"]) == (at(0).isoformat(), at(2).isoformat())
    assert found["disagreement"]["price_off"] == 1
    assert [each["name"] for each in found["instruments"]] == ["NSE:INFY"]
    assert found["take_overs"] == found["streams"] == []


def test_the_command_says_where_there_is_nothing_to_compare(market: Database) -> None:
    shown = command(*SHOWN)
    assert "No stream has ever run" in shown
    assert "No broker has taken over from another on this day." in shown
    assert "Nothing to compare" in shown


def test_a_day_and_minutes_together_are_refused(market: Database) -> None:
    with pytest.raises(ConfigurationError, match="leave one out"):
        command(*SHOWN, "--minutes", "5")
