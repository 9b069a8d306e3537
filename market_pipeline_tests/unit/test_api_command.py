"""The command that serves the API: what it refuses, where it answers, and the keys it makes."""

import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from market_pipeline import config, services
from market_pipeline.__main__ import app
from market_pipeline.api.auth import Keys, Scope
from market_pipeline.config import Settings
from market_pipeline.errors import ConfigurationError, PortInUse


@pytest.fixture(autouse=True)
def settings_of_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("MARKET_PIPELINE_HOME", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    monkeypatch.setattr(config, "settings", config.load)


def settings(host: str, port: int = 8000) -> Settings:
    return Settings(_env_file=None, api_host=host, api_port=port)


def test_a_new_key_is_accepted_where_it_is_put() -> None:
    key = CliRunner().invoke(app, ["api", "new-key"]).stdout.strip()
    keys = Keys.of(Settings(_env_file=None, api_keys=f"desk:control:{key}"))
    assert keys.check(key, Scope.CONTROL) == "desk"


@pytest.mark.parametrize("words", [["api", "--host", "0.0.0.0"], ["up"]])
def test_nothing_is_started_that_others_could_use_without_a_key(
    monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("DAGSTER_PORT", str(free.getsockname()[1]))
        monkeypatch.setenv("API_PORT", str(free.getsockname()[1]))
    monkeypatch.setenv("API_HOST", "0.0.0.0")
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, ConfigurationError)
    assert "new-key" in str(result.exception)


def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = CliRunner().invoke(app, ["api", "--port", str(taken.getsockname()[1])])
    assert isinstance(result.exception, PortInUse)
    assert "choose another with --port" in str(result.exception)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("192.168.1.5", "http://192.168.1.5:8000"),
    ],
)
def test_this_machine_reaches_the_api_wherever_it_listens(host: str, url: str) -> None:
    assert services.api_url(settings(host)) == url


def test_the_service_of_the_stack_listens_where_settings_say() -> None:
    command = services.api(settings("127.0.0.1", 8123)).command
    assert command[-5:] == ("api", "--host", "127.0.0.1", "--port", "8123")
