"""The commands that run everything, `demo` and `up`, and the one that shows how to join in."""

import contextlib
import shlex
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Annotated

import polars as pl
import typer
from rich.console import Console
from rich.live import Live

from market_pipeline import brokers, dashboard, services, stack
from market_pipeline.commands.connected import configured
from market_pipeline.commands.simulator import SimulatedBroker
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


def demo(
    instruments_count: Annotated[int, typer.Option(min=1, help="How many to stream.")] = 50,
    broker: Annotated[
        SimulatedBroker, typer.Option(help="Whose protocols the exchange speaks.")
    ] = SimulatedBroker.KITE,
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
        _start(running, console, with_simulator=True)
        database = Database(stack.database_url(running.settings))
        master = _prepare_market(running, database)
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
    BROKER=simulator it starts the simulated exchange too, unless one answers at SIMULATOR_URL.
    """
    settings = configured()
    if port is not None:
        settings = settings.model_copy(update={"dagster_port": port})
    services.require_free(settings.dagster_port, "Dagster's UI", "choose another with --port")
    console = Console()
    with _stopping_cleanly(console), Stack(settings) as running:
        simulated = settings.is_simulated
        _start(running, console, simulated and _simulator_is_missing(settings))
        database = Database(stack.database_url(running.settings))
        if simulated:
            _prepare_market(running, database)
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
    update = {"broker": BrokerName(record["broker"]), "simulator_url": record["simulator_url"]}
    variables = stack.variables(settings.model_copy(update=update))
    variables["DATABASE_URL"] = stack.database_url(settings)
    for name, value in variables.items():
        typer.echo(f"export {name}={shlex.quote(value)}")


def demo_home(settings: Settings) -> Settings:
    """Return the settings with the demo's home and no database but its own."""
    home = settings.market_pipeline_home / "demo"
    return settings.model_copy(
        update={
            "market_pipeline_home": home,
            "database_url": None,
            "broker": BrokerName.SIMULATOR,
        }
    )


def demo_settings(
    settings: Settings,
    port: int | None,
    console: Console,
    broker: SimulatedBroker = SimulatedBroker.KITE,
) -> Settings:
    """Return settings for the demo: nothing of the configured services, and ports that are free.

    Raises:
        PortInUse: the port that was asked for on the command line is taken.
    """
    if port is not None:
        services.require_free(port, "Dagster's UI", "choose another with --port")
    ui_port = port or _free_port(settings.dagster_port, "Dagster's UI", console)
    simulator_port = services.port_of(settings.simulator_url)
    simulator_port = _free_port(simulator_port, "the simulated exchange", console)
    url = f"http://{services.HOST}:{simulator_port}"
    name = next(name for name, protocol in PROTOCOLS.items() if protocol == broker.value)
    update = {"dagster_port": ui_port, "simulator_url": url, "broker": name}
    return demo_home(settings).model_copy(update=update)


def _free_port(wanted: int, purpose: str, console: Console) -> int:
    port = services.free_port(wanted)
    if port != wanted:
        console.print(f"Port {wanted} is taken by another program: {purpose} uses {port}.")
    return port


def demo_mix(master: pl.DataFrame, count: int) -> list[str]:
    """Choose instruments of every kind, the broker's first ones of each, in fixed proportions."""
    group = pl.when(pl.col("segment") == "CD").then(pl.lit("CD")).otherwise(pl.col("kind"))
    share = group.replace_strict(_MIX, default=1, return_dtype=pl.Int64)
    ranked = master.with_columns(
        rank=pl.int_range(pl.len()).over(group.alias("group")) / share
    ).sort("rank", maintain_order=True)
    return [f"{row[0]}:{row[1]}" for row in ranked.head(count).select("exchange", "symbol").rows()]


def _start(running: Stack, console: Console, with_simulator: bool) -> None:
    """Start the database, then all services at once: Dagster takes longest."""
    with console.status("Starting PostgreSQL"):
        running.start_database()
    if with_simulator:
        settings = running.settings
        protocol = PROTOCOLS[settings.broker]
        url, always_open = settings.simulator_url, settings.simulator_always_open
        running.start(services.simulator(url, always_open, protocol))
    settings = running.settings
    running.start(*services.dagster(running.home, settings.dagster_port, services.free_port()))
    if with_simulator:
        with console.status("Starting the simulated exchange"):
            running.wait_until_ready(services.SIMULATOR)


def _simulator_is_missing(settings: Settings) -> bool:
    url = settings.simulator_url
    return services.is_local(url) and not services.is_taken(services.port_of(url))


def _prepare_market(running: Stack, database: Database) -> pl.DataFrame:
    """Log in to the simulator and bring the instruments up to date; return the broker's master."""
    brokers.log_in_to_simulator(running.settings)
    master = brokers.open_broker(running.settings).instruments()
    broker, today = running.settings.broker, trading_date(datetime.now(UTC))
    instruments.sync(database, broker.value, master, today, broker.yields_to)
    return master


def _wait_for_dagster(running: Stack, console: Console) -> None:
    with console.status("Starting Dagster, which takes some seconds"):
        for name in (services.CODE_SERVER, services.WEBSERVER):
            running.wait_until_ready(name)


def _explain(running: Stack, console: Console, subscribed: int) -> None:
    settings = running.settings
    place = "its own PostgreSQL" if settings.database_url is None else "the configured PostgreSQL"
    ui = running.dagster_url
    lines = [f"Dagster    {ui}", f"  graph    {services.lineage_url(ui)}", f"  streams  {ui}/runs"]
    if settings.is_simulated:
        lines.append(f"Exchange   {settings.simulator_url}/simulator/status")
    lines += [
        f"Broker     {settings.broker.value}, {subscribed} instruments",
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
            _stay_logged_in(running)
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


def _stay_logged_in(running: Stack) -> None:
    """Log in to the simulator again when the token has ended, as they do each morning."""
    settings = running.settings
    if not settings.is_simulated:
        return
    store = brokers.token_store(settings)
    if store.current(settings.broker, datetime.now(UTC)) is None:
        with contextlib.suppress(BrokerUnavailable):
            brokers.log_in_to_simulator(settings)


@contextlib.contextmanager
def _stopping_cleanly(console: Console) -> Iterator[None]:
    """End the command without an error on Ctrl-C and SIGTERM."""
    with stack.interruptible():
        with contextlib.suppress(KeyboardInterrupt):
            yield
        console.print("Stopped.")
