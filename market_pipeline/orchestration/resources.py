"""How Dagster's code reaches the market database and the broker; nothing is opened at load time."""

from collections.abc import Callable

import dagster as dg

from market_pipeline import brokers, config
from market_pipeline.brokers.base import Broker
from market_pipeline.brokers.limits import Priority
from market_pipeline.storage import embedded
from market_pipeline.storage.budgets import DatabaseBudgets
from market_pipeline.storage.database import Database

BATCH_TAGS = {"dagster/max_runtime": "900"}
"""Of every job but the streams: a run whose process died with the database would stay for ever."""


class MarketDatabase(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The market database: at `url`, or where the settings say it is."""

    url: str | None = None

    def open(self) -> Database:
        """Return the database. Asked afresh each time: the embedded server's port may change.

        Raises:
            EmbeddedServerError: no URL is set and the embedded server is not running.
        """
        if self.url is not None:
            return Database(self.url)
        settings = config.settings()
        if settings.database_url is not None:
            return Database(settings.database_url.get_secret_value())
        return Database(embedded.url(settings.market_pipeline_home))


class MarketBroker(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The broker that the settings name, the one that stands by, and the settings themselves."""

    def open(
        self,
        store: Database | None = None,
        priority: Priority = Priority.URGENT,
        stop: Callable[[], bool] = bool,
    ) -> Broker:
        """Return the preferred broker; its requests count with those of all who share a store.

        Raises:
            ConfigurationError: a setting that it needs is missing.
        """
        budgets = DatabaseBudgets(store) if store else None
        return brokers.open_broker(self.settings, budgets, priority, stop)

    def open_all(self) -> list[Broker]:
        """Return every broker, the preferred one first, for ticks.

        Raises:
            ConfigurationError: a setting that one of them needs is missing.
        """
        return [brokers.open_broker(each) for each in self.settings.each_broker]

    @property
    def settings(self) -> config.Settings:
        return config.settings()

    @property
    def name(self) -> str:
        """The preferred broker's."""
        return self.settings.broker.value

    @property
    def names(self) -> list[str]:
        """Of every broker, the preferred one's first."""
        return [each.broker.value for each in self.settings.each_broker]

    @property
    def per_stream(self) -> int:
        """How many instruments a stream has at most: what the smaller connection carries."""
        return min(each.max_tokens_per_stream for each in self.open_all())
