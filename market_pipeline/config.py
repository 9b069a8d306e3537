"""The settings of the pipeline: the only reader of the environment and of the .env file."""

import functools
import os
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from market_pipeline.errors import ConfigurationError
from market_pipeline.sessions import AlwaysOpen, Calendar
from market_pipeline.tolerances import Tolerances


class BrokerName(StrEnum):
    KITE = "kite"
    FYERS = "fyers"
    SIMULATOR = "simulator"
    FYERS_SIMULATOR = "fyers_simulator"

    @property
    def yields_to(self) -> list[str]:
        """The brokers whose names, lots and ticks of a contract go before this one's."""
        first = {self.FYERS: self.KITE, self.FYERS_SIMULATOR: self.SIMULATOR}.get(self)
        return [first.value] if first else []


PROTOCOLS = {BrokerName.SIMULATOR: "kite", BrokerName.FYERS_SIMULATOR: "fyers"}
"""Whose protocols each simulated broker speaks."""


def _brokers(value: object) -> tuple[BrokerName, BrokerName | None]:
    """Read what BROKER says: the preferred broker, and the one that stands by if there are two.

    Raises:
        ValueError: says what it must be instead.
    """
    known = [name.value for name in BrokerName]
    names = [name.strip() for name in str(value).split(",")]
    for name in names:
        if name not in known:
            raise ValueError(
                f"{name!r} is not available: choose {', '.join(known[:-1])} or {known[-1]}, or two "
                "of them with a comma between"
            )
    if len(names) > 2:
        raise ValueError(f"{len(names)} brokers are named: choose one, or two")
    chosen = [BrokerName(name) for name in names]
    if len(chosen) == 1:
        return chosen[0], None
    if chosen[0] is chosen[1]:
        raise ValueError(
            f"{names[0]!r} is named twice: choose another to stand by, or leave it out"
        )
    if len({name in PROTOCOLS for name in chosen}) > 1:
        raise ValueError(
            "a simulated broker and a real one cannot go together, or made-up ticks would reach "
            "real data: choose two of either"
        )
    return chosen[0], chosen[1]


def _default_home() -> Path:
    # Root's own folder is closed to the account that PostgreSQL runs under.
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/market_pipeline")
    return Path("~/.local/share/market_pipeline").expanduser()


class Settings(BaseSettings):
    """One field for each environment variable of the same name; see .env.example."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True)

    database_url: SecretStr | None = None
    market_writer_password: SecretStr | None = None
    market_reader_password: SecretStr | None = None
    market_api_password: SecretStr | None = None
    market_grafana_password: SecretStr | None = None
    broker: BrokerName = BrokerName.SIMULATOR
    """The preferred broker: the first that BROKER names."""
    standby_broker: BrokerName | None = None
    """The second that BROKER names: no variable of its own, whatever STANDBY_BROKER says."""
    kite_api_key: str = ""
    kite_api_secret: SecretStr | None = None
    kite_access_token: SecretStr | None = None
    fyers_app_id: str = ""
    fyers_secret_key: SecretStr | None = None
    fyers_access_token: SecretStr | None = None
    fyers_redirect_uri: str = "http://127.0.0.1/"
    simulator_url: str = "http://127.0.0.1:7600"
    standby_simulator_url: str = "http://127.0.0.1:7601"
    simulator_always_open: bool = True
    dagster_port: int = Field(default=3000, ge=1, le=65535)
    dagster_url: str = ""
    api_host: str = "127.0.0.1"
    api_port: int = Field(default=8000, ge=1, le=65535)
    api_keys: SecretStr = SecretStr("")
    api_cors_origins: str = ""
    api_rate_limit: float = Field(default=50.0, gt=0)
    log_level: str = "INFO"
    log_format: Literal["console", "json"] = "console"
    tick_buffer_size: int = Field(default=1000, ge=1, le=1_000_000)
    flush_interval_seconds: float = Field(default=0.25, gt=0, le=60)
    tick_retention_days: int = Field(default=7, ge=1)
    compress_after_days: int = Field(default=1, ge=1)
    database_max_gigabytes: float | None = Field(default=None, gt=0)
    journal_max_gigabytes: float = Field(default=20.0, gt=0)
    journal_keep_hours: float = Field(default=24.0, ge=0)
    archive_url: str = ""
    calendar_file: Path | None = None
    tolerance_file: Path | None = None
    market_pipeline_home: Path = Field(default_factory=_default_home)

    @model_validator(mode="before")
    @classmethod
    def _broker_names_both(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {**values, "standby_broker": values.get("broker")}

    @field_validator("broker", mode="before")
    @classmethod
    def _is_preferred(cls, value: object) -> BrokerName:
        return _brokers(value)[0]

    @field_validator("standby_broker", mode="before")
    @classmethod
    def _stands_by(cls, value: object) -> BrokerName | None:
        with suppress(ValueError):  # of which `broker` tells
            return None if value is None else _brokers(value)[1]
        return None

    @field_validator("database_url")
    @classmethod
    def _is_postgresql(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        if urlsplit(value.get_secret_value()).scheme not in ("postgresql", "postgres"):
            raise ValueError("must look like postgresql://user:password@host:5432/database")
        return value

    @field_validator(
        "market_writer_password",
        "market_reader_password",
        "market_api_password",
        "market_grafana_password",
    )
    @classmethod
    def _is_given(cls, value: SecretStr | None) -> SecretStr | None:
        return value if value and value.get_secret_value() else None  # an empty line is none

    @field_validator("log_level")
    @classmethod
    def _is_a_level(cls, value: str) -> str:
        if value.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
            raise ValueError("must be DEBUG, INFO, WARNING or ERROR")
        return value.upper()

    @field_validator("calendar_file", "tolerance_file", "database_max_gigabytes", mode="before")
    @classmethod
    def _is_set(cls, value: object) -> object:
        return value or None  # an empty line is not the path "."

    @field_validator("calendar_file")
    @classmethod
    def _is_a_calendar(cls, value: Path | None) -> Path | None:
        if value is not None:
            value = value.expanduser().absolute()
            try:
                Calendar(value)
            except ConfigurationError as error:
                raise ValueError(str(error)) from None
        return value

    @field_validator("tolerance_file")
    @classmethod
    def _has_tolerances(cls, value: Path | None) -> Path | None:
        if value is not None:
            value = value.expanduser().absolute()
            try:
                Tolerances.load(value)
            except ConfigurationError as error:
                raise ValueError(str(error)) from None
        return value

    @property
    def each_broker(self) -> list[Self]:
        """The settings as if each broker were the only one, the preferred one's first."""
        if self.standby_broker is None:
            return [self]
        standby = {"broker": self.standby_broker, "simulator_url": self.standby_simulator_url}
        alone = {"standby_broker": None}
        return [self.model_copy(update=alone), self.model_copy(update=standby | alone)]

    @property
    def broker_names(self) -> str:
        """What BROKER says: one name, or the preferred one's and the other's."""
        return ",".join(each.broker.value for each in self.each_broker)

    def with_brokers(self, names: str) -> Self:
        """Return the settings as they were if BROKER said `names`."""
        broker, standby = _brokers(names)
        return self.model_copy(update={"broker": broker, "standby_broker": standby})

    @property
    def is_simulated(self) -> bool:
        """Whether the brokers are the simulated exchange, whichever protocols it speaks."""
        return self.broker in PROTOCOLS

    @property
    def calendar(self) -> Calendar:
        """The exchange's trading days; the simulated exchange may have none: it never closes."""
        if self.is_simulated and self.simulator_always_open:
            return AlwaysOpen()
        return Calendar(self.calendar_file)

    def kite_credentials(self) -> tuple[str, SecretStr]:
        """Return API key and secret.

        Raises:
            ConfigurationError: one of them is not set.
        """
        if not self.kite_api_key:
            raise ConfigurationError(
                "KITE_API_KEY is not set: copy it from your app's page at developers.kite.trade"
            )
        if self.kite_api_secret is None:
            raise ConfigurationError(
                "KITE_API_SECRET is not set: copy it from your app's page in the Kite developer "
                "console"
            )
        return self.kite_api_key, self.kite_api_secret

    def fyers_credentials(self) -> tuple[str, SecretStr]:
        """Return app id and secret key.

        Raises:
            ConfigurationError: one of them is not set.
        """
        if not self.fyers_app_id:
            raise ConfigurationError(
                "FYERS_APP_ID is not set: copy it, with its suffix as in XC12345-100, from your "
                "app's page at myapi.fyers.in"
            )
        if self.fyers_secret_key is None:
            raise ConfigurationError(
                "FYERS_SECRET_KEY is not set: copy it from your app's page at myapi.fyers.in"
            )
        return self.fyers_app_id, self.fyers_secret_key


def load() -> Settings:
    """Read the settings afresh.

    Raises:
        ConfigurationError: names each variable that is wrong and what it must be.
    """
    try:
        return Settings()
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']).upper()}: "
            f"{item['msg'].removeprefix('Value error, ')}"
            for item in error.errors()
        )
        raise ConfigurationError(f"{problems}. Correct the environment or the .env file.") from None


@functools.cache
def settings() -> Settings:
    """Return the settings of this process, read once."""
    return load()
