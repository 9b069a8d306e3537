"""The commands that run everything, `demo` and `up`, and the one that shows how to join in."""

import contextlib
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated

import polars as pl
import typer
from rich.console import Console
from rich.live import Live

from market_pipeline import brokers, dashboard, services, stack
from market_pipeline.commands.connected import configured, market_database
from market_pipeline.commands.demo import (
    DemoBrokers,
    demo_home,
    demo_mix,
    demo_settings,
    with_api_port,
)
from market_pipeline.config import PROTOCOLS, Settings
from market_pipeline.errors import BrokerUnavailable, ConfigurationError, DatabaseUnavailable
from market_pipeline.sessions import trading_date
from market_pipeline.stack import Stack
from market_pipeline.storage import instruments
from market_pipeline.storage.database import Database

_WATCH_SECONDS = 1.0
Duration = Annotated[
    float | None, typer.Option(min=0, help="Stop by itself after so many seconds.")
]
Port = Annotated[
    int | None, typer.Option(min=1, max=65535, help="Of Dagster's UI; DAGSTER_PORT otherwise.")
]


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
    settings = with_api_port(settings, console)
    with _stopping_cleanly(console), Stack(settings) as running:
        _start(running, console, _missing_simulators(running.settings))
        database = Database(stack.database_url(running.settings))
        if settings.is_simulated:
            prepare_market(running.settings, database)
        _wait_for_dagster(running, console)
        _explain(running, console, database.query("count_subscriptions").item())
        _run(running, console, duration, database if table else None)


def prepare_demo(
    instruments_count: Annotated[int, typer.Option(min=1, help="How many to subscribe.")] = 50,
) -> None:
    """Give a pipeline that runs elsewhere what `demo` has: a login, instruments, subscriptions.

    For the simulated exchange at SIMULATOR_URL. Stays until Ctrl-C or SIGTERM, to log in again
    whenever the token has ended.
    """
    settings = configured()
    if not settings.is_simulated:
        raise ConfigurationError(
            f"BROKER is {settings.broker_names}, and a demo is of the simulated exchange alone: "
            "set BROKER=simulator, or subscribe with `market-pipeline subscribe`"
        )
    console = Console()
    with _stopping_cleanly(console), market_database(settings) as database:
        names = demo_mix(prepare_market(settings, database), instruments_count)
        instruments.subscribe(database, settings.broker.value, names)
        console.print(f"{len(names)} instruments are subscribed. Staying logged in.")
        while True:
            time.sleep(_WATCH_SECONDS)
            stay_logged_in(settings)


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
    update["dagster_port"] = services.port_of(record["dagster_url"])
    recorded = settings.with_brokers(record["broker"]).model_copy(update=update)
    variables = stack.variables(recorded)
    variables["DATABASE_URL"] = stack.database_url(settings)
    for name, value in variables.items():
        typer.echo(f"export {name}={shlex.quote(value)}")


def _start(running: Stack, console: Console, simulators: Mapping[str, Settings]) -> None:
    """Start the database, then all services at once: Dagster takes longest."""
    with console.status("Starting PostgreSQL"):
        running.start_database()
    for name, each in simulators.items():
        protocol, always_open = PROTOCOLS[each.broker], each.simulator_always_open
        running.start(services.simulator(each.simulator_url, always_open, protocol, name))
    settings = running.settings
    running.start(*services.dagster(running.home, settings.dagster_port, services.free_port()))
    running.start(services.api(settings))
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
        for name in (services.CODE_SERVER, services.WEBSERVER, services.API):
            running.wait_until_ready(name)


def _explain(running: Stack, console: Console, subscribed: int) -> None:
    settings = running.settings
    place = "its own PostgreSQL" if settings.database_url is None else "the configured PostgreSQL"
    ui = running.dagster_url
    api_url = services.api_url(settings)
    lines = [f"Live page  {api_url}/"]
    lines += [f"Dagster    {ui}", f"  graph    {services.lineage_url(ui)}", f"  streams  {ui}/runs"]
    lines.append(f"API        {api_url}/docs")
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
