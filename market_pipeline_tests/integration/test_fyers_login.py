"""Logging in to Fyers from the command line, and the settings it needs."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from market_pipeline import config
from market_pipeline.__main__ import app
from market_pipeline.brokers import token_store
from market_pipeline.brokers.fyers import Fyers
from market_pipeline.brokers.login import TokenStore
from market_pipeline.config import BrokerName, Settings
from market_pipeline.errors import ConfigurationError
from market_pipeline.sessions import AlwaysOpen
from market_pipeline_tests.fyers_line_cases import jwt


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # no .env of the developer's
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("MARKET_PIPELINE_HOME", str(tmp_path / "home"))
    config.settings.cache_clear()


@pytest.fixture
def codes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let Fyers take every code; return those it was given."""
    given: list[str] = []

    def exchange(self: Fyers, code: str, secret: SecretStr) -> SecretStr:
        given.append(code)
        return SecretStr(jwt(5 * 3600))

    monkeypatch.setattr(Fyers, "exchange_auth_code", exchange)
    monkeypatch.setenv("FYERS_APP_ID", "XC12345-100")
    monkeypatch.setenv("FYERS_SECRET_KEY", "key")
    return given


@pytest.mark.parametrize(
    "answer", ["abc", " abc\n", "http://127.0.0.1/?s=ok&code=200&auth_code=abc&state=x"]
)
@pytest.mark.parametrize("broker", ["fyers", "fyers_simulator"])
def test_a_login_keeps_the_token_as_long_as_it_says(
    codes: list[str], monkeypatch: pytest.MonkeyPatch, answer: str, broker: str
) -> None:
    monkeypatch.setenv("BROKER", broker)
    result = CliRunner().invoke(app, ["login", "fyers", answer])
    assert result.exit_code == 0, result.output
    assert codes == ["abc"]
    store, now = token_store(config.load()), datetime.now(UTC)
    assert store.current(BrokerName.FYERS, now + timedelta(hours=4, minutes=59))
    assert not store.current(BrokerName.FYERS, now + timedelta(hours=5, minutes=1))


def test_without_an_answer_the_address_is_shown_and_asked_for(
    codes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FYERS_REDIRECT_URI", "https://example.com/done")
    result = CliRunner().invoke(app, ["login", "fyers"], input="abc\n")
    assert "redirect_uri=https%3A%2F%2Fexample.com%2Fdone" in result.output
    assert codes == ["abc"]


def test_missing_credentials_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="FYERS_APP_ID"):
        config.load().fyers_credentials()
    monkeypatch.setenv("FYERS_APP_ID", "XC12345-100")
    with pytest.raises(ConfigurationError, match="FYERS_SECRET_KEY"):
        config.load().fyers_credentials()


@pytest.mark.parametrize(
    ("broker", "simulated"),
    [("kite", False), ("fyers", False), ("simulator", True), ("fyers_simulator", True)],
)
def test_a_simulated_broker_is_known_by_either_name(
    monkeypatch: pytest.MonkeyPatch, broker: str, simulated: bool
) -> None:
    monkeypatch.setenv("BROKER", broker)
    settings = config.load()
    assert settings.is_simulated is simulated
    assert isinstance(settings.calendar, AlwaysOpen) is simulated


def test_a_token_kept_by_an_earlier_version_dies_at_six(tmp_path: Path) -> None:
    issued = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
    (tmp_path / "kite.json").write_text(
        f'{{"access_token": "a", "issued_at": "{issued.isoformat()}"}}', "utf-8"
    )
    store = TokenStore(tmp_path)
    assert store.current("kite", datetime(2026, 11, 24, 0, 29, tzinfo=UTC))
    assert not store.current("kite", datetime(2026, 11, 24, 0, 30, tzinfo=UTC))
