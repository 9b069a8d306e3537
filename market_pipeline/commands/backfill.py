"""The command that fetches candles from the broker."""

import json
from datetime import UTC, date, datetime, timedelta
from threading import Event
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from market_pipeline import brokers
from market_pipeline.brokers.limits import Priority
from market_pipeline.commands.connected import configured, market_database
from market_pipeline.errors import ConfigurationError
from market_pipeline.history.backfill import Backfill, Scope
from market_pipeline.history.fetching import Source, Totals
from market_pipeline.history.planning import Plan
from market_pipeline.market import Interval
from market_pipeline.sessions import trading_date
from market_pipeline.storage.budgets import DatabaseBudgets

_DAYS = ["%Y-%m-%d"]
_MOST_SHOWN = 10

Names = Annotated[
    list[str] | None,
    typer.Option(help="EXCHANGE:SYMBOL, symbol or token; repeat it, or separate by commas."),
]
Underlyings = Annotated[
    list[str] | None, typer.Option("--underlying", help="All its contracts, as in NIFTY.")
]
Segments = Annotated[
    list[str] | None, typer.Option("--segment", help="All instruments of CM, FO, CD, COM or INDEX.")
]


class _Order(NamedTuple):
    first: date
    last: date
    interval: Interval
    scope: Scope
    again: bool


def backfill(  # noqa: PLR0913 - each is an option of the command line
    since: Annotated[
        datetime, typer.Option("--from", formats=_DAYS, help="The first trading day.")
    ],
    until: Annotated[
        datetime | None, typer.Option("--to", formats=_DAYS, help="The last; today otherwise.")
    ] = None,
    instruments: Names = None,
    underlying: Underlyings = None,
    segment: Segments = None,
    interval: Annotated[str, typer.Option(help="As in 1m, 5m, 1h or 1d.")] = "1m",
    again: Annotated[
        bool, typer.Option("--again", help="Fetch also what was fetched before.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell how many requests and how long; ask nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs; no progress bar.")] = False,
) -> None:
    """Fetch candles from the broker and store them: of the subscribed instruments, or those named.

    What was fetched before is not asked for again, so an interrupted backfill goes on where it was.
    All processes together keep within the broker's limits. Exit code 1 when a request failed.
    """
    settings = configured()
    order = _Order(
        since.date(),
        until.date() if until else trading_date(datetime.now(UTC)),
        _interval(interval),
        Scope(_split(instruments), _split(underlying), _split(segment)),
        again,
    )
    if order.first > order.last:
        raise ConfigurationError(f"--from {order.first} is later than --to {order.last}")
    with market_database(settings) as database:
        stop = Event()
        budgets = DatabaseBudgets(database)
        broker = brokers.open_broker(settings, budgets, Priority.HISTORY, stop.is_set)
        source = Source(database, settings.broker.value, broker, order.interval, stop)
        work = Backfill(source, settings.calendar)
        days = [order.first + timedelta(days=n) for n in range((order.last - order.first).days + 1)]
        plan = work.plan(work.contracts(order.scope), days, datetime.now(UTC), order.again)
        rate = broker.history_budget.rate
        if as_json:
            totals = None if dry_run else work.fetch(plan, "backfill")
            typer.echo(json.dumps(_content(plan, rate, totals), indent=2))
        else:
            console = Console()
            _show_plan(console, plan, rate)
            is_idle = dry_run or not plan.requests
            totals = None if is_idle else fetch_with_progress(console, work, plan, "backfill")
    if totals is not None and totals.failed:
        raise typer.Exit(1)


def _interval(text: str) -> Interval:
    try:
        return Interval.read(text)
    except ValueError as error:
        raise ConfigurationError(f"--interval {error}") from None


def _split(values: list[str] | None) -> list[str]:
    parts = (part.strip() for value in values or [] for part in value.split(","))
    return [part for part in parts if part]


def _show_plan(console: Console, plan: Plan, rate: float) -> None:
    table = Table(show_header=False, box=None)
    for label, value in (
        ("days of instruments", f"{plan.wanted:,}"),
        ("fetched before", f"{plan.covered:,}"),
        ("before listing", f"{plan.not_listed:,}"),
        ("after expiry", f"{plan.expired:,}"),
        ("to fetch", f"{plan.missing:,}"),
        ("requests", f"{len(plan.requests):,}"),
        ("at least", f"{_duration(len(plan.requests) / rate)} at {rate:.2g} requests a second"),
    ):
        table.add_row(label, value)
    console.print(table)
    if plan.no_token:
        console.print(
            f"{len(plan.no_token)} are no longer offered by the broker and cannot be fetched: "
            f"{_some(plan.no_token)}"
        )


def fetch_with_progress(console: Console, work: Backfill, plan: Plan, purpose: str) -> Totals:
    """Make the requests of a plan behind a progress bar, and say what became of them."""
    columns = (
        TextColumn("fetching"),
        BarColumn(),
        MofNCompleteColumn(),
        _Speed(),
        TextColumn("{task.fields[candles]:,} candles"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("requests", total=len(plan.requests), candles=0)
        totals = work.fetch(
            plan,
            purpose,
            lambda so_far: progress.update(task, completed=so_far.done, candles=so_far.candles),
        )
    console.print(
        f"{totals.requests:,} requests, {totals.candles:,} candles; {totals.empty:,} had none, "
        f"{totals.not_asked:,} not asked for: before listing; {totals.failed:,} failed"
    )
    for failure in totals.failures[:_MOST_SHOWN]:
        console.print(f"  {failure}", style="red")
    if totals.failed:
        console.print("Run the same again to ask for what failed.")
    return totals


class _Speed(ProgressColumn):
    """Requests a second, over the last ones."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.2f}/s" if task.speed else "", style="progress.data.speed")


def _content(plan: Plan, rate: float, totals: Totals | None) -> dict[str, Any]:
    content: dict[str, Any] = {
        "wanted_days": plan.wanted,
        "covered_days": plan.covered,
        "before_listing_days": plan.not_listed,
        "expired_days": plan.expired,
        "missing_days": plan.missing,
        "requests": len(plan.requests),
        "seconds_at_least": round(len(plan.requests) / rate, 1),
        "no_token": plan.no_token,
    }
    if totals is not None:
        content["done"] = {
            "requests": totals.requests,
            "candles": totals.candles,
            "empty": totals.empty,
            "not_asked": totals.not_asked,
            "failed": totals.failed,
            "failures": totals.failures,
        }
    return content


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:_MOST_SHOWN])
    return shown + (" ..." if len(names) > _MOST_SHOWN else "")


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
