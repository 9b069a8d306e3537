"""What the demo runs with: its brokers, its settings, ports that are free, and its instruments."""

from collections.abc import Collection
from enum import StrEnum

import polars as pl
from rich.console import Console

from market_pipeline import services
from market_pipeline.config import PROTOCOLS, BrokerName, Settings

# How many of each group there are among so many instruments of the demo.
_MIX = {"INDEX": 4, "EQ": 24, "FUT": 10, "CE": 5, "PE": 5, "CD": 2}


class DemoBrokers(StrEnum):
    KITE = "kite"
    FYERS = "fyers"
    KITE_AND_FYERS = "kite,fyers"
    FYERS_AND_KITE = "fyers,kite"

    @property
    def names(self) -> str:
        """What BROKER says where the exchange speaks these protocols."""
        simulated = {protocol: name.value for name, protocol in PROTOCOLS.items()}
        return ",".join(simulated[protocol] for protocol in self.value.split(","))


def demo_home(settings: Settings) -> Settings:
    """Return the settings with the demo's home and no database or archive but its own."""
    home = settings.market_pipeline_home / "demo"
    update = {"market_pipeline_home": home, "database_url": None, "archive_url": ""}
    return settings.with_brokers(BrokerName.SIMULATOR).model_copy(update=update)


def demo_settings(
    settings: Settings,
    port: int | None,
    console: Console,
    broker: DemoBrokers = DemoBrokers.KITE,
) -> Settings:
    """Return settings for the demo: nothing of the configured services, and ports that are free.

    Raises:
        PortInUse: the port that was asked for on the command line is taken.
    """
    if port is not None:
        services.require_free(port, "Dagster's UI", "choose another with --port")
    chosen = demo_home(settings).with_brokers(broker.names)
    ui_port = port or _free_port(settings.dagster_port, "Dagster's UI", console)
    update: dict[str, str | int] = {"dagster_port": ui_port, "api_host": services.HOST}
    promised = {ui_port}
    fields = ("simulator_url", "standby_simulator_url")
    for field, (name, each) in zip(fields, services.simulators(chosen).items(), strict=False):
        wanted = services.port_of(each.simulator_url)
        simulator_port = _free_port(wanted, f"the simulated exchange ({name})", console, promised)
        promised.add(simulator_port)
        update[field] = f"http://{services.HOST}:{simulator_port}"
    return with_api_port(chosen.model_copy(update=update), console, promised)


def with_api_port(settings: Settings, console: Console, promised: Collection[int] = ()) -> Settings:
    """Return settings in which the API's port is free.

    Raises:
        ConfigurationError: API_KEYS is wrong, or missing where others than this machine can ask.
    """
    from market_pipeline.api.auth import Keys  # see commands/api.py

    Keys.of(settings)
    port = _free_port(settings.api_port, "the API", console, promised)
    return settings.model_copy(update={"api_port": port})


def _free_port(wanted: int, purpose: str, console: Console, promised: Collection[int] = ()) -> int:
    port = services.free_port(wanted, promised)
    if port != wanted:
        console.print(f"Port {wanted} is taken: {purpose} uses {port}.")
    return port


def demo_mix(master: pl.DataFrame, count: int) -> list[str]:
    """Choose instruments of every kind, the broker's first ones of each, in fixed proportions."""
    group = pl.when(pl.col("segment") == "CD").then(pl.lit("CD")).otherwise(pl.col("kind"))
    share = group.replace_strict(_MIX, default=1, return_dtype=pl.Int64)
    ranked = master.with_columns(
        rank=pl.int_range(pl.len()).over(group.alias("group")) / share
    ).sort("rank", maintain_order=True)
    return [f"{row[0]}:{row[1]}" for row in ranked.head(count).select("exchange", "symbol").rows()]
