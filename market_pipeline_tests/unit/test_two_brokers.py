"""The wiring of a stack with two brokers: settings, services, ports and what a shell is told."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from market_pipeline import config, services, stack
from market_pipeline.__main__ import app
from market_pipeline.commands.demo import DemoBrokers, demo_settings
from market_pipeline.config import BrokerName, Settings

BOTH = "simulator,fyers_simulator"


@pytest.fixture(autouse=True)
def settings_of_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("MARKET_PIPELINE_HOME", str(tmp_path))
    monkeypatch.setattr(config, "settings", config.load)


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that belongs to somebody else."""
    with socket.create_server((services.HOST, 0)) as server:
        yield server.getsockname()[1]


def free_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every port but those that are taken be as it was asked for."""
    for name in ("SIMULATOR_URL", "STANDBY_SIMULATOR_URL"):
        monkeypatch.setenv(name, f"http://{services.HOST}:{services.free_port()}")
    monkeypatch.setenv("DAGSTER_PORT", str(services.free_port()))


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        ("kite", "simulator"),
        ("fyers", "fyers_simulator"),
        ("kite,fyers", "simulator,fyers_simulator"),
        ("fyers,kite", "fyers_simulator,simulator"),
    ],
)
def test_the_demo_simulates_the_brokers_it_is_given(chosen: str, names: str) -> None:
    settings = demo_settings(config.load(), None, Console(), DemoBrokers(chosen))
    assert settings.broker_names == names
    assert settings.database_url is None


def test_the_demo_of_one_broker_ignores_the_two_that_are_configured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BROKER", "kite,fyers")
    settings = demo_settings(config.load(), None, Console())
    assert (settings.broker, settings.standby_broker) == (BrokerName.SIMULATOR, None)


def test_the_demo_takes_the_ports_of_the_settings_when_they_are_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    free_ports(monkeypatch)
    configured = config.load()
    settings = demo_settings(configured, None, Console(), DemoBrokers.KITE_AND_FYERS)
    first, second = settings.each_broker
    assert first.simulator_url == configured.simulator_url
    assert second.simulator_url == configured.standby_simulator_url


def test_a_taken_port_of_either_simulator_is_replaced_and_told(
    monkeypatch: pytest.MonkeyPatch, taken: int, capsys: pytest.CaptureFixture[str]
) -> None:
    free_ports(monkeypatch)
    for name in ("SIMULATOR_URL", "STANDBY_SIMULATOR_URL"):
        monkeypatch.setenv(name, f"http://{services.HOST}:{taken}")
    settings = demo_settings(config.load(), None, Console(), DemoBrokers.KITE_AND_FYERS)
    ports = [services.port_of(each.simulator_url) for each in settings.each_broker]
    assert len({*ports, taken}) == 3
    assert capsys.readouterr().out.count(f"Port {taken} is taken") == 2


def test_two_simulators_that_are_to_have_one_port_get_two(monkeypatch: pytest.MonkeyPatch) -> None:
    free_ports(monkeypatch)
    monkeypatch.setenv("STANDBY_SIMULATOR_URL", config.load().simulator_url)
    settings = demo_settings(config.load(), None, Console(), DemoBrokers.FYERS_AND_KITE)
    assert settings.simulator_url == config.load().simulator_url
    assert settings.standby_simulator_url != settings.simulator_url


def test_the_port_of_a_simulator_that_is_not_needed_may_be_taken(
    monkeypatch: pytest.MonkeyPatch, taken: int, capsys: pytest.CaptureFixture[str]
) -> None:
    free_ports(monkeypatch)
    monkeypatch.setenv("STANDBY_SIMULATOR_URL", f"http://{services.HOST}:{taken}")
    demo_settings(config.load(), None, Console())
    assert capsys.readouterr().out == ""


def test_each_simulated_broker_is_a_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER", "fyers_simulator,simulator")
    found = services.simulators(config.load())
    assert {name: each.broker_names for name, each in found.items()} == {
        services.SIMULATOR: "fyers_simulator",
        services.STANDBY_SIMULATOR: "simulator",
    }


@pytest.mark.parametrize(("broker", "count"), [("simulator", 1), ("kite", 0), ("kite,fyers", 0)])
def test_nothing_is_simulated_that_is_not_named(
    monkeypatch: pytest.MonkeyPatch, broker: str, count: int
) -> None:
    monkeypatch.setenv("BROKER", broker)
    assert len(services.simulators(config.load())) == count


def test_a_simulator_is_told_its_protocol_and_port_and_has_the_seed_of_all() -> None:
    service = services.simulator("http://127.0.0.1:7633", True, "fyers", "simulator-standby")
    assert service.name == "simulator-standby"
    words = list(service.command)
    assert words[words.index("--broker") + 1] == "fyers"
    assert words[-1] == "7633"
    assert "--seed" not in words


def test_children_of_the_stack_are_told_of_both_brokers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:secret@host/market")
    monkeypatch.setenv("DAGSTER_DATABASE_URL", "postgresql://me:secret@host/dagster")
    monkeypatch.setenv("BROKER", BOTH)
    monkeypatch.setenv("STANDBY_SIMULATOR_URL", "http://127.0.0.1:7622")
    told = stack.variables(config.load())
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert config.load().broker_names == BOTH
    assert config.load().standby_simulator_url == "http://127.0.0.1:7622"


def test_a_shell_that_joins_is_told_what_runs_and_not_what_is_configured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:secret@host/market")
    monkeypatch.setenv("DAGSTER_DATABASE_URL", "postgresql://me:secret@host/dagster")
    urls = {"simulator_url": "http://h:1", "standby_simulator_url": "http://h:2"}
    running = config.load().with_brokers(BOTH).model_copy(update=urls)
    monkeypatch.setenv("BROKER", "kite")
    with stack.Stack(running) as started:
        started.start()
        record = json.loads((tmp_path / "run" / "stack.json").read_text("utf-8"))
        assert record["broker"] == BOTH
        told = CliRunner().invoke(app, ["env"]).output.splitlines()
    assert f"export BROKER={BOTH}" in told
    assert "export SIMULATOR_URL=http://h:1" in told
    assert "export STANDBY_SIMULATOR_URL=http://h:2" in told


def test_the_demo_refuses_brokers_that_it_cannot_simulate() -> None:
    result = CliRunner().invoke(app, ["demo", "--broker", "kite,kite"])
    assert result.exit_code == 2
    assert "kite,fyers" in result.output
