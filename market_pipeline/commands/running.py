"""The commands that run everything, `demo` and `up`, and the one that shows how to join in."""

import contextlib
import shlex
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import polars as pl
import typer
from rich.console import Console
from rich.live import Live

from market_pipeline import brokers, dashboard, services, stack
from market_pipeline.commands.connected import configured
from market_pipeline.config import PROTOCOLS, BrokerName, Settings
from market_pipeline.errors import BrokerUnavailable, DatabaseUnavailable
from market_pipeline.sessions import trading_date
from market_pipeline.stack import Stack
from market_pipeline.storage import instruments
from market_pipeline.storage.database import Database

_WATCH_SECONDS = 1.0
# How many of each group there are among so many instruments of the demo.
_MIX = {"INDEX": 4, "EQ": 24, "FUT": 10, "CE": 5, "PE": 5, "CD": 2}

Duration = Annotated[
    float | None, typer.Option(min=0, help="Stop by itself after so many seconds.")
]
Port = Annotated[
    int | None, typer.Option(min=1, max=65535, help="Of Dagster's UI; DAGSTER_PORT otherwise.")
]


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


def demo(
    instruments_count: Annotated[int, typer.Option(min=1, help="How many to stream.")] = 50,
    broker: Annotated[
        DemoBrokers, typer.Option(help="Whose protocols the exchange speaks; the second stands by.")
    ] = DemoBrokers.KITE,
    port: Port = None,
    duration: Duration = None,
    table: Annotated[bool, typer.Option("--table/--no-table", help="Show live candles.")] = True,
) -> None:
    """Run everything against a simulated exchange: no account, no database, no set-up.

    Works at any hour. Keeps its data in MARKET_PIPELINE_HOME/demo, always in a PostgreSQL of its
    own: DATABASE_URL and BROKER are not looked at, so that made-up ticks never reach real data.
    Ports that are taken are replaced by free ones. Ctrl-C stops everything.
    """
    console = Console()
    settings = demo_settings(configured(), port, console, broker)
    with _stopping_cleanly(console), Stack(settings) as running:
        _start(running, console, services.simulators(running.settings))
        database = Database(stack.database_url(running.settings))
        master = prepare_market(running.settings, database)
        names = demo_mix(master, instruments_count)
        instruments.subscribe(database, settings.broker.value, names)
        _wait_for_dagster(running, console)
        _explain(running, console, len(names))
        _run(running, console, duration, database if table else None)


def up(
    port: Port = None,
    duration: Duration = None,
    table: Annotated[bool, typer.Option("--table/--no-table", help="Show live candles.")] = False,
) -> None:
    """Run the pipeline against the configured broker and database.

    Without DATABASE_URL it runs a PostgreSQL of its own in MARKET_PIPELINE_HOME. With
    BROKER=simulator it starts the simulated exchange too, unless one answers at SIMULATOR_URL; with
    BROKER=simulator,fyers_simulator also the one of the second broker at STANDBY_SIMULATOR_URL.
    """
    settings = configured()
    if port is not None:
        settings = settings.model_copy(update={"dagster_port": port})
    services.require_free(settings.dagster_port, "Dagster's UI", "choose another with --port")
    console = Console()
    with _stopping_cleanly(console), Stack(settings) as running:
        _start(running, console, _missing_simulators(running.settings))
        database = Database(stack.database_url(running.settings))
        if settings.is_simulated:
            prepare_market(running.settings, database)
        _wait_for_dagster(running, console)
        _explain(running, console, database.query("count_subscriptions").item())
        _run(running, console, duration, database if table else None)


def env(
    of_demo: Annotated[bool, typer.Option("--demo", help="Of the demo instead of `up`.")] = False,
) -> None:
    """Print what a shell needs to work beside a running pipeline.

    Use it as: (eval "$(market-pipeline env)" && dg dev)

    The output holds the password of the database. The parentheses keep it out of your shell, where
    it would make later commands take the embedded database for a configured one.
    """
    settings = configured()
    if of_demo:
        settings = demo_home(settings)
    record = stack.running(settings.market_pipeline_home)
    update = {name: record[name] for name in ("simulator_url", "standby_simulator_url")}
    recorded = settings.with_brokers(record["broker"]).model_copy(update=update)
    variables = stack.variables(recorded)
    variables["DATABASE_URL"] = stack.database_url(settings)
    for name, value in variables.items():
        typer.echo(f"export {name}={shlex.quote(value)}")


def demo_home(settings: Settings) -> Settings:
    """Return the settings with the demo's home and no database but its own."""
    home = settings.market_pipeline_home / "demo"
    update = {"market_pipeline_home": home, "database_url": None}
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
    update: dict[str, str | int] = {"dagster_port": ui_port}
    promised = {ui_port}
    fields = ("simulator_url", "standby_simulator_url")
    for field, (name, each) in zip(fields, services.simulators(chosen).items(), strict=False):
        wanted = services.port_of(each.simulator_url)
        simulator_port = _free_port(wanted, f"the simulated exchange ({name})", console, promised)
        promised.add(simulator_port)
        update[field] = f"http://{services.HOST}:{simulator_port}"
    return chosen.model_copy(update=update)


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


def _start(running: Stack, console: Console, simulators: Mapping[str, Settings]) -> None:
    """Start the database, then all services at once: Dagster takes longest."""
    with console.status("Starting PostgreSQL"):
        running.start_database()
    for name, each in simulators.items():
        protocol, always_open = PROTOCOLS[each.broker], each.simulator_always_open
        running.start(services.simulator(each.simulator_url, always_open, protocol, name))
    settings = running.settings
    running.start(*services.dagster(running.home, settings.dagster_port, services.free_port()))
    for name in simulators:
        with console.status("Starting the simulated exchange"):
            running.wait_until_ready(name)


def _missing_simulators(settings: Settings) -> dict[str, Settings]:
    """Return those that nobody has started and that we can."""
    return {
        name: each
        for name, each in services.simulators(settings).items()
        if services.is_local(each.simulator_url)
        and not services.is_taken(services.port_of(each.simulator_url))
    }


def prepare_market(settings: Settings, database: Database) -> pl.DataFrame:
    """Log in to the simulated brokers and bring the instruments up to date.

    Returns the preferred broker's master.
    """
    today = trading_date(datetime.now(UTC))
    masters = []
    for each in settings.each_broker:
        brokers.log_in_to_simulator(each)
        masters.append(brokers.open_broker(each).instruments())
        instruments.sync(database, each.broker, masters[-1], today, each.broker.yields_to)
    return masters[0]


def _wait_for_dagster(running: Stack, console: Console) -> None:
    with console.status("Starting Dagster, which takes some seconds"):
        for name in (services.CODE_SERVER, services.WEBSERVER):
            running.wait_until_ready(name)


def _explain(running: Stack, console: Console, subscribed: int) -> None:
    settings = running.settings
    place = "its own PostgreSQL" if settings.database_url is None else "the configured PostgreSQL"
    ui = running.dagster_url
    lines = [f"Dagster    {ui}", f"  graph    {services.lineage_url(ui)}", f"  streams  {ui}/runs"]
    for each in services.simulators(settings).values():
        lines.append(f"Exchange   {each.simulator_url}/simulator/status")
    lines.append(f"Broker     {settings.broker.value}, {subscribed} instruments")
    if settings.standby_broker is not None:
        lines.append(f"Stands by  {settings.standby_broker.value}")
    lines += [
        f"Database   {place}",
        f"Home       {running.home}",
        f"Logs       {running.home / 'logs'}",
    ]
    if not subscribed:
        lines.append("Nothing is subscribed yet: market-pipeline subscribe NSE:RELIANCE")
    lines.append("Ctrl-C stops everything.")
    console.print("\n".join(lines), soft_wrap=True)


def _run(running: Stack, console: Console, duration: float | None, shown: Database | None) -> None:
    """Look after the processes until the time is over; show the table if there is one."""
    ends_at = time.monotonic() + duration if duration is not None else float("inf")
    with _live_table(console, shown) as draw:
        while time.monotonic() < ends_at:
            running.watch()
            stay_logged_in(running.settings)
            draw()
            time.sleep(min(_WATCH_SECONDS, max(ends_at - time.monotonic(), 0)))


@contextlib.contextmanager
def _live_table(console: Console, shown: Database | None) -> Iterator[Callable[[], None]]:
    if shown is None:
        yield lambda: None
        return
    database = shown
    with Live(console=console, auto_refresh=False) as live:

        def draw() -> None:
            with contextlib.suppress(DatabaseUnavailable):  # PostgreSQL is being started again
                live.update(dashboard.render(database), refresh=True)

        yield draw


def stay_logged_in(settings: Settings) -> None:
    """Log in to simulated brokers again whose token has ended, as they do each morning."""
    store = brokers.token_store(settings)
    for each in services.simulators(settings).values():
        if store.current(each.broker, datetime.now(UTC)) is None:
            with contextlib.suppress(BrokerUnavailable):
                brokers.log_in_to_simulator(each)


@contextlib.contextmanager
def _stopping_cleanly(console: Console) -> Iterator[None]:
    """End the command without an error on Ctrl-C and SIGTERM."""
    with stack.interruptible():
        with contextlib.suppress(KeyboardInterrupt):
            yield
        console.print("Stopped.")
