"""The command line: what is printed, and how it ends, without anything running."""

import json
import socket
import stat
import sys
import threading
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from market_pipeline import config, services, stack
from market_pipeline.__main__ import app, main
from market_pipeline.brokers.kite import Kite
from market_pipeline.brokers.kite_rest import parse_instruments
from market_pipeline.commands.demo import demo_home, demo_mix
from market_pipeline.commands.market import request_token
from market_pipeline.config import BrokerName, Settings
from market_pipeline.errors import ConfigurationError, PortInUse
from market_pipeline.processes import Child, Service
from market_pipeline.simulator.listing import default_listing
from market_pipeline.storage.database import in_schema

COMMANDS = (
    "demo up env simulator subscribe unsubscribe quote stream instruments login db replay "
    "replay-check verify-ticks feeds api prepare-demo"
).split()


@pytest.fixture(autouse=True)
def settings_of_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("MARKET_PIPELINE_HOME", str(tmp_path))
    monkeypatch.setattr(config, "settings", config.load)  # the process keeps the first otherwise


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> object:
    """Run the command line as a shell does and return the exit code."""
    monkeypatch.setattr(sys, "argv", ["market-pipeline", *words])
    with pytest.raises(SystemExit) as caught:
        main()
    return caught.value.code


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_a_demo_is_not_prepared_where_a_real_broker_is_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BROKER", "kite")
    assert run(monkeypatch, "prepare-demo") == 2
    assert "BROKER is kite" in capsys.readouterr().err


def test_wrong_setting_is_one_line_and_exit_code_two(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BROKER", "nobody")
    assert run(monkeypatch, "db", "status") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: BROKER")
    assert error.count("\n") == 1


def test_other_errors_are_one_line_and_exit_code_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "env") == 1
    error = capsys.readouterr().err
    assert error.startswith("error: Nothing runs in")
    assert "Traceback" not in error


def test_request_token_is_found_in_the_whole_address() -> None:
    address = "https://127.0.0.1/?action=login&request_token=abc123&status=success"
    assert request_token(address) == "abc123"
    assert request_token("  abc123\n") == "abc123"


def test_address_without_request_token_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="request_token"):
        request_token("https://127.0.0.1/?status=failed")


def test_login_keeps_the_token_to_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KITE_API_KEY", "key")
    monkeypatch.setenv("KITE_API_SECRET", "api-secret")

    def exchange(self: Kite, token: str, secret: SecretStr) -> SecretStr:
        assert (token, secret.get_secret_value()) == ("abc123", "api-secret")
        return SecretStr("access-token")

    monkeypatch.setattr(Kite, "exchange_request_token", exchange)
    pasted = "https://127.0.0.1/?request_token=abc123&status=success\n"
    result = CliRunner().invoke(app, ["login", "kite"], input=pasted)
    assert result.exit_code == 0, result.output
    assert "https://kite" in result.output
    for secret in ("abc123", "api-secret", "access-token"):
        assert secret not in result.output
    kept = tmp_path / "tokens" / "kite.json"
    assert "access-token" in kept.read_text("utf-8")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


@pytest.fixture(scope="module")
def master() -> pl.DataFrame:
    return parse_instruments(default_listing(date(2026, 11, 23), 200).csv().encode())


def test_demo_streams_instruments_of_every_kind(master: pl.DataFrame) -> None:
    names = demo_mix(master, 50)
    by_name = {f"{row['exchange']}:{row['symbol']}": row for row in master.iter_rows(named=True)}
    assert len(set(names)) == 50
    assert {by_name[name]["kind"] for name in names} == {"INDEX", "EQ", "FUT", "CE", "PE"}
    assert {"NSE:RELIANCE", "NSE:NIFTY 50"} <= set(names)
    assert any(by_name[name]["segment"] == "CD" for name in names)


def test_demo_streams_what_there_is_when_asked_for_more(master: pl.DataFrame) -> None:
    assert len(demo_mix(master, 1000)) == master.height


def test_demo_never_uses_the_configured_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:secret@production/market")
    monkeypatch.setenv("BROKER", "kite")
    settings = demo_home(config.load())
    assert settings.database_url is None
    assert settings.broker is BrokerName.SIMULATOR
    assert settings.market_pipeline_home.name == "demo"


def test_dagster_shares_a_database_in_a_schema_of_its_own() -> None:
    url = in_schema("postgresql://me:secret@host/db?sslmode=require", "dagster")
    assert url == ("postgresql://me:secret@host/db?sslmode=require&options=-csearch_path%3Ddagster")


def test_database_chosen_for_dagster_is_reached_through_psycopg2() -> None:
    chosen = "postgresql://me:secret@host/dagster"
    expected = "postgresql+psycopg2://me:secret@host/dagster"
    assert services.dagster_url(config.load(), chosen) == expected


def test_taken_port_is_replaced_or_refused() -> None:
    with socket.create_server((services.HOST, 0)) as server:
        port = server.getsockname()[1]
        assert services.free_port(port) != port
        with pytest.raises(PortInUse, match=str(port)):
            services.require_free(port, "the test", "choose another")


def test_dagster_is_told_where_its_code_server_is(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    names = [service.name for service in services.dagster(tmp_path, 3000, 4000)]
    workspace = json.loads((tmp_path / "run" / "workspace.yaml").read_text("utf-8"))
    assert workspace["load_from"][0]["grpc_server"]["port"] == 4000
    assert names == [services.CODE_SERVER, services.DAEMON, services.WEBSERVER]


def test_dead_child_is_started_again_after_growing_delays(tmp_path: Path) -> None:
    child = Child(Service("short", [sys.executable, "-c", "print('bye')"], lambda: True), tmp_path)
    child.start({}, 0.0)
    revived = []
    for now in (10.0, 20.0):
        assert not revive_once_dead(child, now)  # its delay begins
        assert not child.revive({}, now + 0.5)
        revived.append(child.revive({}, now + 2.5))
    revive_once_dead(child, 30.0)
    assert revived == [True, True]
    assert child.deaths == 3
    assert child.last_words() == "bye"


def revive_once_dead(child: Child, now: float) -> bool:
    """Return what revive says in the moment it finds the child dead."""
    deaths = child.deaths
    pause = threading.Event()
    while child.deaths == deaths:
        if child.revive({}, now):
            return True
        pause.wait(0.01)
    return False


def test_stack_of_a_home_that_is_taken_is_refused(tmp_path: Path) -> None:
    with stack.Stack(config.load()):
        with pytest.raises(stack.StackRunning, match="already running"):
            stack.Stack(config.load()).__enter__()
