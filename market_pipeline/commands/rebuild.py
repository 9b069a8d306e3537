"""The command that makes the ticks of a period anew from the journal, after a fix."""

from datetime import datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

from market_pipeline import brokers
from market_pipeline.commands.connected import configured, market_database
from market_pipeline.config import Settings
from market_pipeline.errors import ConfigurationError
from market_pipeline.sessions import to_ist
from market_pipeline.storage import candles
from market_pipeline.storage.database import Database
from market_pipeline.storage.instruments import Catalogue
from market_pipeline.streaming.meaning import Source
from market_pipeline.streaming.rebuild import Order, Outcome, rebuild

_FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"]
_STREAM_HELP = "The stream whose journal is read, as in kite-0. It must not be running."
_TO_HELP = "Up to when; what follows stays as it is. All that is stored otherwise."


def replay(
    stream: Annotated[str, typer.Option("--from-journal", metavar="STREAM", help=_STREAM_HELP)],
    since: Annotated[
        datetime,
        typer.Option("--from", formats=_FORMATS, help="When it was received; IST without a zone."),
    ],
    until: Annotated[datetime | None, typer.Option("--to", formats=_FORMATS, help=_TO_HELP)] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what would change, change nothing.")
    ] = False,
) -> None:
    """Make the ticks of a period anew from the journal, as after a fix of how it is decoded.

    Old and new ticks change places in one transaction, and candles follow. The period is widened
    to the checkpoints around it, by some ten minutes at most at either end. With --to the fixed
    code must count as many ticks as are stored of the period, or the numbers of the later ones
    would no longer follow; leave --to out then. Stop the stream first. Gaps stay as they are.
    """
    console = Console()
    settings = configured()
    order = _order(settings, stream, since, until, dry_run)
    with market_database(settings) as database:
        outcome = _rebuilt(settings, database, order, console)
        changed = 0 if dry_run else candles.refresh(database)
    _show(console, outcome, dry_run)
    if not dry_run:
        console.print(f"{changed} candles were stored anew.")


def _order(
    settings: Settings, stream: str, since: datetime, until: datetime | None, dry_run: bool
) -> Order:
    if not stream.startswith(f"{settings.broker.value}-"):
        raise ConfigurationError(
            f"stream {stream} is not one of {settings.broker.value}: set BROKER to its broker"
        )
    if until is not None and to_ist(until) <= to_ist(since):
        raise ConfigurationError("--to must be later than --from")
    folder = settings.market_pipeline_home / "journal" / stream
    names = [each.broker.value for each in settings.each_broker]
    ends = to_ist(until) if until else None
    return Order(stream, folder, to_ist(since), ends, dry_run, names)


def _rebuilt(settings: Settings, database: Database, order: Order, console: Console) -> Outcome:
    sources = [
        Source(brokers.open_broker(each).decoder(), Catalogue(database, each.broker.value))
        for each in settings.each_broker
    ]
    columns = ("reading the journal", BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("journal")
        return rebuild(
            database.url,
            order,
            sources,
            lambda done, total: progress.update(task, completed=done, total=total),
        )


def _show(console: Console, outcome: Outcome, dry_run: bool) -> None:
    found = outcome.difference
    would = "would be" if dry_run else "were"
    console.print(f"Journal from {outcome.start} to {outcome.end}: {outcome.frames} frames.")
    console.print(
        f"Ticks: {found.stored} were stored, {found.rebuilt} are right; "
        f"{found.deleted} {would} deleted, {found.inserted} {would} written."
    )
