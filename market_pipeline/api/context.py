"""What every endpoint works with: made once, when the application starts."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from prometheus_client import CollectorRegistry
from starlette.requests import HTTPConnection

from market_pipeline.api.auth import Keys
from market_pipeline.api.dagster_client import DagsterClient
from market_pipeline.api.tables import Tables
from market_pipeline.config import Settings
from market_pipeline.storage import embedded
from market_pipeline.storage.database import Database
from market_pipeline.storage.reading import Reader


@dataclass(frozen=True)
class Context:
    """The settings, who may ask, what is read and worked on, and what Prometheus is told."""

    settings: Settings
    keys: Keys
    reader: Reader
    database: Database
    dagster: DagsterClient
    registry: CollectorRegistry
    tables: Tables

    @property
    def broker(self) -> str:
        """The broker whose tokens and names are meant."""
        return self.settings.broker.value

    @property
    def brokers(self) -> list[str]:
        """Those whose instruments can be named, the preferred one first."""
        return [each.broker.value for each in self.settings.each_broker]

    @property
    def standby(self) -> str | None:
        """The broker that is listened to as well, if there is one."""
        second = self.settings.standby_broker
        return second.value if second else None


def context_of(connection: HTTPConnection) -> Context:
    """Return the context of the application that a request or a WebSocket is for."""
    context: Context = connection.app.state.context
    return context


Works = Annotated[Context, Depends(context_of)]
"""The parameter of an endpoint that is the context."""


def make(settings: Settings) -> Context:
    """Make the context that settings ask for.

    Raises:
        ConfigurationError: API_KEYS is wrong.
        EmbeddedServerError: no DATABASE_URL is set and the embedded server does not run.
    """
    keys = Keys.of(settings)
    configured = settings.database_url
    home = settings.market_pipeline_home
    url = configured.get_secret_value() if configured else embedded.url(home)
    dagster_url = settings.dagster_url or f"http://127.0.0.1:{settings.dagster_port}"
    registry = CollectorRegistry()
    return Context(
        settings,
        keys,
        Reader(url),
        Database(url),
        DagsterClient(dagster_url),
        registry,
        Tables(registry),
    )
