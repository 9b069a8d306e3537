"""The command `simulator` serves what its options say, and else what settings say."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from market_pipeline import config
from market_pipeline.__main__ import app
from market_pipeline.config import Settings
from market_pipeline.errors import ConfigurationError
from market_pipeline.simulator import fyers_server, kite_server
from market_pipeline.simulator.kite_server import SimulatorOptions

Served = list[tuple[str, SimulatorOptions]]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Served:
    """What would have been served: by whose protocol, and with which options."""
    found: Served = []
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(config, "settings", config.load)
    for protocol, server in {"kite": kite_server, "fyers": fyers_server}.items():

        def serve(options: SimulatorOptions, _: object, protocol: str = protocol) -> None:
            found.append((protocol, options))

        monkeypatch.setattr(server, "serve", serve)
    return found


def simulator(*options: str, **settings: str) -> Any:
    return CliRunner().invoke(app, ["simulator", *options], env=settings)


@pytest.mark.parametrize(
    ("broker", "options", "protocol"),
    [
        ("simulator", [], "kite"),
        ("fyers_simulator", [], "fyers"),
        ("kite", [], "kite"),
        ("simulator", ["--broker", "fyers"], "fyers"),
        ("simulator,fyers_simulator", ["--broker", "fyers"], "fyers"),
    ],
)
def test_it_speaks_what_the_broker_that_is_set_speaks(
    served: Served, broker: str, options: list[str], protocol: str
) -> None:
    assert simulator(*options, BROKER=broker).exit_code == 0
    assert [each for each, _ in served] == [protocol]


@pytest.mark.parametrize(
    ("setting", "options", "always_open"),
    [
        ("true", [], True),
        ("false", [], False),
        ("false", ["--always-open"], True),
        ("true", ["--exchange-hours"], False),
    ],
)
def test_it_keeps_the_hours_that_are_set(
    served: Served, setting: str, options: list[str], always_open: bool
) -> None:
    assert simulator(*options, SIMULATOR_ALWAYS_OPEN=setting).exit_code == 0
    assert [options.always_open for _, options in served] == [always_open]


def test_two_brokers_at_once_are_refused_with_what_to_do(served: Served) -> None:
    refused = simulator(BROKER="simulator,fyers_simulator")
    assert isinstance(refused.exception, ConfigurationError)
    assert "set BROKER to simulator or fyers_simulator" in str(refused.exception)
    assert served == []
