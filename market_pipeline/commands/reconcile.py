"""The commands that compare candles with the broker's, and fill gaps from them."""

import json
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown

from market_pipeline import brokers
from market_pipeline.brokers.limits import Priority
from market_pipeline.commands.backfill import fetch_with_progress
from market_pipeline.commands.connected import configured, market_database
from market_pipeline.config import Settings
from market_pipeline.history.backfill import MINUTE, Backfill, Scope
from market_pipeline.history.fetching import Source
from market_pipeline.history.reconciling import Reconciled, Reconciler
from market_pipeline.history.repairing import Repairer
from market_pipeline.reconciliation_report import Outcome, report
from market_pipeline.sessions import trading_date
from market_pipeline.storage.budgets import DatabaseBudgets
from market_pipeline.storage.database import Database
from market_pipeline.tolerances import Tolerances

_SHOWN = 10


def reconcile(
    day: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="The trading day; today otherwise."),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Compare also what was compared before.")
    ] = False,
    to: Annotated[
        Path | None, typer.Option("--report", dir_okay=False, help="Write the report there too.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Compare a day's candles with the broker's, and let the broker's replace what differs.

    Only of exchanges that have closed for the day; what is not there of the broker's candles is
    fetched first. Both versions of a candle are kept. Exit code 1 when candles of ours stay that
    the broker has not.
    """
    settings = configured()
    on, now = day.date() if day else trading_date(datetime.now(UTC)), datetime.now(UTC)
    console = Console(quiet=as_json)
    with market_database(settings) as database:
        work = _work(settings, database, Priority.DAILY)
        plan = work.plan(work.contracts(Scope()), [on], now, closed_only=True)
        if plan.requests:
            fetch_with_progress(console, work, plan, "reconcile")
        found = _reconciler(settings, database).reconcile(on, datetime.now(UTC), again)
    text = _report(settings, found)
    if to is not None:
        to.write_text(text, "utf-8")
    if as_json:
        typer.echo(json.dumps(_content(found), indent=2, default=str))
    else:
        console.print(Markdown(text))
        _remark(console, found)
    if not found.summaries.is_empty() and Outcome.UNSETTLED in found.summaries["verdict"]:
        raise typer.Exit(1)


def fill_gaps() -> None:
    """Fill the recorded gaps that wait, from the broker's candles; a running pipeline does it too.

    Exit code 1 when one could not be filled; it is tried again later.
    """
    settings = configured()
    with market_database(settings) as database:
        work = _work(settings, database, Priority.URGENT)
        repairer = Repairer(database, settings.broker.value, work, _reconciler(settings, database))
        filled = repairer.repair(datetime.now(UTC))
    typer.echo("  ".join(f"{name}={count}" for name, count in filled._asdict().items()))
    if filled.failed:
        raise typer.Exit(1)


def _work(settings: Settings, database: Database, priority: Priority) -> Backfill:
    stop = Event()
    broker = brokers.open_broker(settings, DatabaseBudgets(database), priority, stop.is_set)
    source = Source(database, settings.broker.value, broker, MINUTE, stop)
    return Backfill(source, settings.calendar)


def _reconciler(settings: Settings, database: Database) -> Reconciler:
    tolerances = Tolerances.load(settings.tolerance_file)
    return Reconciler(database, settings.broker.value, settings.calendar, tolerances)


def _report(settings: Settings, found: Reconciled) -> str:
    if found.summaries.is_empty():
        return f"{found.day}: nothing was compared.\n"
    tolerances = Tolerances.load(settings.tolerance_file)
    return report(found.day, settings.broker.value, found.summaries, found.notable, tolerances)


def _remark(console: Console, found: Reconciled) -> None:
    for names, remark in (
        (found.not_closed, "instruments are left for later, since their exchange is open"),
        (found.not_fetched, "instruments are not compared, since the broker's candles lack"),
    ):
        if names:
            shown = ", ".join(names[:_SHOWN]) + (" ..." if len(names) > _SHOWN else "")
            console.print(f"{len(names)} {remark}: {shown}")
    if found.done_before:
        console.print(
            f"{found.done_before} instruments had been compared before: --again compares them anew."
        )


def _content(found: Reconciled) -> dict[str, object]:
    return {
        "day": found.day,
        "instruments": found.summaries.to_dicts(),
        "not_closed": found.not_closed,
        "not_fetched": found.not_fetched,
        "compared_before": found.done_before,
    }
