"""The settings of the pipeline: the only reader of the environment and of the .env file."""

import functools
import os
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
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


def _default_home() -> Path:
    # Root's own folder is closed to the account that PostgreSQL runs under.
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/market_pipeline")
    return Path("~/.local/share/market_pipeline").expanduser()


class Settings(BaseSettings):
    """One field for each environment variable of the same name; see .env.example."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True)

    database_url: SecretStr | None = None
    broker: BrokerName = BrokerName.SIMULATOR
    kite_api_key: str = ""
    kite_api_secret: SecretStr | None = None
    kite_access_token: SecretStr | None = None
    fyers_app_id: str = ""
    fyers_secret_key: SecretStr | None = None
    fyers_access_token: SecretStr | None = None
    fyers_redirect_uri: str = "http://127.0.0.1/"
    simulator_url: str = "http://127.0.0.1:7600"
    simulator_always_open: bool = True
    dagster_port: int = Field(default=3000, ge=1, le=65535)
    log_level: str = "INFO"
    tick_buffer_size: int = Field(default=1000, ge=1, le=1_000_000)
    flush_interval_seconds: float = Field(default=0.25, gt=0, le=60)
    tick_retention_days: int = Field(default=7, ge=1)
    compress_after_days: int = Field(default=1, ge=1)
    journal_max_gigabytes: float = Field(default=20.0, gt=0)
    journal_keep_hours: float = Field(default=24.0, ge=0)
    calendar_file: Path | None = None
    tolerance_file: Path | None = None
    market_pipeline_home: Path = Field(default_factory=_default_home)

    @field_validator("broker", mode="before")
    @classmethod
    def _broker_is_known(cls, value: object) -> object:
        known = [name.value for name in BrokerName]
        if isinstance(value, str) and value not in known:
            raise ValueError(
                f"{value!r} is not available: choose {', '.join(known[:-1])} or {known[-1]}"
            )
        return value

    @field_validator("database_url")
    @classmethod
    def _is_postgresql(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        if urlsplit(value.get_secret_value()).scheme not in ("postgresql", "postgres"):
            raise ValueError("must look like postgresql://user:password@host:5432/database")
        return value

    @field_validator("log_level")
    @classmethod
    def _is_a_level(cls, value: str) -> str:
        if value.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
            raise ValueError("must be DEBUG, INFO, WARNING or ERROR")
        return value.upper()

    @field_validator("calendar_file", "tolerance_file", mode="before")
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
    def is_simulated(self) -> bool:
        """Whether the broker is the simulated exchange, whichever protocol it speaks."""
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
