"""Settings: what the environment may say, and what is answered when it says something else."""

from datetime import date
from pathlib import Path

import pytest

from market_pipeline import config
from market_pipeline.config import BrokerName, Settings
from market_pipeline.errors import ConfigurationError
from market_pipeline.sessions import AlwaysOpen

EXAMPLE = Path(__file__).parents[2] / ".env.example"
FIELDS = {name: each for name, each in Settings.model_fields.items() if name != "standby_broker"}
"""Those that are variables."""


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # no .env of the developer's
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def example_lines() -> dict[str, str]:
    """Return the variables of .env.example, those in comments included."""
    lines = (line.removeprefix("# ") for line in EXAMPLE.read_text("utf-8").splitlines())
    pairs = (line.split("=", 1) for line in lines if "=" in line and line.split("=")[0].isupper())
    return {pair[0]: pair[1] for pair in pairs}


def test_nothing_has_to_be_set() -> None:
    settings = config.load()
    assert settings.broker is BrokerName.SIMULATOR
    assert settings.database_url is None


def test_empty_database_url_means_embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "")
    assert config.load().database_url is None


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("DATABASE_URL", "mysql://host/db", "postgresql://user"),
        ("BROKER", "zerodha", "kite"),
        ("BROKER", "kite,zerodha", "'zerodha' is not available"),
        ("BROKER", "kite,", "'' is not available"),
        ("BROKER", "kite,fyers,kite", "3 brokers are named"),
        ("BROKER", "fyers, fyers", "'fyers' is named twice"),
        ("BROKER", "kite,fyers_simulator", "choose two of either"),
        ("LOG_LEVEL", "LOUD", "DEBUG"),
        ("DAGSTER_PORT", "70000", "65535"),
        ("FLUSH_INTERVAL_SECONDS", "0", "greater than 0"),
    ],
)
def test_wrong_value_is_refused_with_the_variable_and_what_it_must_be(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, named: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=name) as caught:
        config.load()
    assert named in str(caught.value)


@pytest.mark.parametrize("value", ["kite,fyers", " kite , fyers "])
def test_two_brokers_are_the_preferred_one_and_the_one_that_stands_by(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("BROKER", value)
    settings = config.load()
    assert (settings.broker, settings.standby_broker) == (BrokerName.KITE, BrokerName.FYERS)
    assert settings.broker_names == "kite,fyers"


def test_what_is_wrong_with_broker_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER", "kite,zerodha")
    with pytest.raises(ConfigurationError) as caught:
        config.load()
    assert str(caught.value).count("zerodha") == 1


@pytest.mark.parametrize(("broker", "standby"), [("kite", None), ("fyers,kite", BrokerName.KITE)])
def test_a_standby_is_named_by_broker_alone(
    monkeypatch: pytest.MonkeyPatch, broker: str, standby: BrokerName | None
) -> None:
    monkeypatch.setenv("BROKER", broker)
    monkeypatch.setenv("STANDBY_BROKER", "fyers")
    assert config.load().standby_broker is standby


def test_each_of_two_brokers_has_the_settings_it_would_have_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BROKER", "simulator,fyers_simulator")
    monkeypatch.setenv("STANDBY_SIMULATOR_URL", "http://127.0.0.1:7777")
    first, second = config.load().each_broker
    assert (first.broker_names, first.simulator_url) == ("simulator", "http://127.0.0.1:7600")
    assert (second.broker_names, second.simulator_url) == (
        "fyers_simulator",
        "http://127.0.0.1:7777",
    )


def test_one_broker_has_the_settings_themselves() -> None:
    settings = config.load()
    assert settings.each_broker == [settings]
    assert settings.broker_names == "simulator"


def test_settings_take_other_brokers_and_give_up_the_standby() -> None:
    both = config.load().with_brokers("fyers,kite")
    assert both.broker_names == "fyers,kite"
    assert both.with_brokers("kite").broker_names == "kite"


def test_password_is_not_shown_when_the_url_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://me:hunter2@host/db")
    with pytest.raises(ConfigurationError) as caught:
        config.load()
    assert "hunter2" not in str(caught.value)


def test_secrets_are_not_shown_with_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:hunter2@host/db")
    monkeypatch.setenv("KITE_API_SECRET", "hunter2")
    monkeypatch.setenv("KITE_ACCESS_TOKEN", "hunter2")
    assert "hunter2" not in repr(config.load())


def test_environment_overrides_the_env_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("DAGSTER_PORT=3001\nTICK_BUFFER_SIZE=7\n", "utf-8")
    monkeypatch.setenv("DAGSTER_PORT", "3002")
    settings = config.load()
    assert (settings.dagster_port, settings.tick_buffer_size) == (3002, 7)


def test_simulated_exchange_never_closes_unless_it_is_told_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert isinstance(config.load().calendar, AlwaysOpen)
    monkeypatch.setenv("SIMULATOR_ALWAYS_OPEN", "false")
    assert not config.load().calendar.is_trading_day(date(2026, 10, 4))


def test_calendar_of_a_broker_knows_what_the_calendar_file_adds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("ours.yaml").write_text("years: [{year: 2027, market: equity, closed: []}]", "utf-8")
    monkeypatch.setenv("BROKER", "kite")
    monkeypatch.setenv("CALENDAR_FILE", "ours.yaml")
    assert config.load().calendar.is_trading_day(date(2027, 1, 4), "NSE")


def test_calendar_file_that_is_wrong_is_refused_with_the_variable_and_the_entry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("ours.yaml").write_text("years: [{year: 2027, market: gold, closed: []}]", "utf-8")
    monkeypatch.setenv("CALENDAR_FILE", "ours.yaml")
    with pytest.raises(ConfigurationError, match=r"^CALENDAR_FILE: .*ours\.yaml: entry 1 of y"):
        config.load()


def test_empty_calendar_file_means_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALENDAR_FILE", "")
    assert config.load().calendar_file is None


def test_missing_kite_credentials_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="KITE_API_KEY"):
        config.load().kite_credentials()
    monkeypatch.setenv("KITE_API_KEY", "key")
    with pytest.raises(ConfigurationError, match="KITE_API_SECRET"):
        config.load().kite_credentials()


def test_example_explains_every_setting() -> None:
    missing = {name.upper() for name in FIELDS} - set(example_lines())
    assert not missing


def test_example_shows_the_defaults() -> None:
    shown = example_lines()
    for name, field in FIELDS.items():
        value = shown[name.upper()]
        if field.default_factory is None and value:
            default = field.default.value if name == "broker" else field.default
            is_switch = isinstance(default, bool)
            assert value == (str(default).lower() if is_switch else str(default)), name
